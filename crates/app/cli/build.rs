//! Has the linker fold functions whose code is the same: the program's text is resident memory. Only Rust's own linker, which is
//! the default there, is known to do it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target == "x86_64-unknown-linux-gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
