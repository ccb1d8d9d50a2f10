//! Makes the Rust declarations from the header: BLAZEN_INCLUDE is its folder, BLAZEN_LIBRARY_DIR the library's.
use std::{env, path::PathBuf};

fn variable(name: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn main() {
    let header = format!("{}/blazen/blazen.h", variable("BLAZEN_INCLUDE"));
    println!("cargo:rerun-if-changed={header}");
    println!("cargo:rustc-link-search=native={}", variable("BLAZEN_LIBRARY_DIR"));
    println!("cargo:rustc-link-lib=dylib=blazen");
    let output = PathBuf::from(env::var("OUT_DIR").unwrap()).join("blazen.rs");
    bindgen::builder()
        .header(header)
        .allowlist_file(".*blazen.h")
        .generate()
        .expect("bindgen refuses the header")
        .write_to_file(output)
        .expect("cannot write the declarations");
}
