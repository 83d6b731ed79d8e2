//! Compiles the BPF programs with clang into one object that the crate embeds.
//!
//! Not here: a generated skeleton. The loader opens the object by itself, so that one program the kernel refuses
//! can be left out without the others.

use std::env;
use std::path::PathBuf;
use std::process::exit;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    println!("cargo:rerun-if-changed=src/bpf");
    // PANIC: cargo sets OUT_DIR for every build script.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR is set"));
    let built = SkeletonBuilder::new()
        .source("src/bpf/probes.bpf.c")
        .obj(out.join("probes.bpf.o"))
        // v3 (kernel 5.12) has the atomics the budgets need.
        .clang_args(["-mcpu=v3", "-Wall", "-Werror"])
        .build();
    if let Err(error) = built {
        eprintln!("the BPF programs do not compile (clang 14 or later is needed): {error:#}");
        exit(1);
    }
}
