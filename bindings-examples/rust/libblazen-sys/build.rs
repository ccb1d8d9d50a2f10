//! Finds the installed libblazen and says how it is linked. With the feature `bindgen`, makes the bindings of its header.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["LIBBLAZEN_PREFIX", "LIBBLAZEN_STATIC", "DOCS_RS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("DOCS_RS").is_some() {
        return; // documentation links nothing
    }
    let found = match env::var_os("LIBBLAZEN_PREFIX") {
        Some(prefix) => in_prefix(Path::new(&prefix)),
        None => by_pkg_config(),
    };
    link(&found);
    #[cfg(feature = "bindgen")]
    make_bindings(&found.include);
}

/// Where the library is.
struct Installed {
    #[cfg_attr(not(feature = "bindgen"), allow(dead_code))]
    include: PathBuf,
    lib: PathBuf,
}

fn in_prefix(prefix: &Path) -> Installed {
    let installed = Installed { include: prefix.join("include"), lib: prefix.join("lib") };
    if !installed.include.join("blazen/blazen.h").is_file() {
        panic!(
            "LIBBLAZEN_PREFIX={} has no include/blazen/blazen.h: name the folder that libblazen was installed to \
             (cmake --install build --prefix FOLDER)",
            prefix.display()
        );
    }
    installed
}

fn by_pkg_config() -> Installed {
    let library =
        pkg_config::Config::new().atleast_version("0.2").cargo_metadata(false).probe("blazen").unwrap_or_else(
            |error| {
                panic!(
                "libblazen was not found. Install it, and set LIBBLAZEN_PREFIX to the folder it was installed to, or \
                 PKG_CONFIG_PATH to its lib/pkgconfig. pkg-config said: {error}"
            )
            },
        );
    let folder =
        |paths: &[PathBuf], otherwise: &str| paths.first().cloned().unwrap_or_else(|| PathBuf::from(otherwise));
    Installed { include: folder(&library.include_paths, "/usr/include"), lib: folder(&library.link_paths, "/usr/lib") }
}

fn link(found: &Installed) {
    let archive = found.lib.join("libblazen.a");
    let statically = match env::var("LIBBLAZEN_STATIC").as_deref() {
        Ok("0") => false,
        Ok("1") if !archive.is_file() => {
            panic!("LIBBLAZEN_STATIC=1, but there is no {}", archive.display())
        }
        Ok("1") => true,
        Ok(other) => panic!("LIBBLAZEN_STATIC is 0 or 1, not {other:?}"),
        Err(_) => archive.is_file(),
    };
    println!("cargo:rustc-link-search=native={}", found.lib.display());
    println!("cargo:libdir={}", found.lib.display());
    if !statically {
        println!("cargo:rustc-link-lib=dylib=blazen");
        return;
    }
    println!("cargo:rerun-if-changed={}", archive.display());
    println!("cargo:rustc-link-lib=static=blazen");
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos" | "ios" | "freebsd" | "openbsd") => println!("cargo:rustc-link-lib=c++"),
        _ => println!("cargo:rustc-link-lib=stdc++"),
    }
}

#[cfg(feature = "bindgen")]
fn make_bindings(include: &Path) {
    let header = include.join("blazen/blazen.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bindings = bindgen::Builder::default()
        .header(header.display().to_string())
        .allowlist_item("(blazen|BLAZEN)_.*")
        .use_core()
        .ctypes_prefix("::core::ffi")
        .prepend_enum_name(false)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .generate()
        .unwrap_or_else(|error| {
            panic!("bindgen could not read {} ({error}); it needs libclang: set LIBCLANG_PATH", header.display())
        })
        .to_string()
        // Every enum of the header is 32 bits wide and signed where it is used.
        .replace("= ::core::ffi::c_uint;", "= ::core::ffi::c_int;");
    std::fs::write(out.join("bindings.rs"), bindings).expect("OUT_DIR can be written");
}
