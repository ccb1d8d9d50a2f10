//! Raw bindings to `libblazen`: the declarations of `blazen.h`, and nothing else.
//!
//! The safe crate over them is `libblazen`. The laws of the calls (who owns what, which thread, which callback) stand in
//! the header `blazen/blazen.h` that the library installs; each declaration here has the comment of the header.
//!
//! The build script finds the installed library by `LIBBLAZEN_PREFIX` (a folder with `include` and `lib`) or by
//! `pkg-config`, and links it: the archive where there is one, else the shared library. `LIBBLAZEN_STATIC=0` asks for the
//! shared one, `LIBBLAZEN_STATIC=1` insists on the archive. It never downloads anything.
#![no_std]
#![allow(non_camel_case_types, non_upper_case_globals, missing_docs)]
#![allow(clippy::all, rustdoc::all)]

#[cfg(not(feature = "bindgen"))]
#[rustfmt::skip]
mod bindings;
#[cfg(not(feature = "bindgen"))]
pub use bindings::*;

#[cfg(feature = "bindgen")]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
