//! Typed readers of `/proc` and `/sys/fs/cgroup` below a given root: `/` on a live host, any directory in tests.
//!
//! Not here: rates and shares (`state`), timers and threads (`sources`), runtimes' interfaces (`containers`).
//! Nothing writes to the host, and nothing keeps text it was given beyond a stated bound.

pub mod foreign;

pub mod root;

pub mod error;

pub mod limit;

mod text;

mod kept;

mod mount_table;

pub mod layout;

pub mod tree;

pub mod cgroup;

mod cgroup_files;

pub mod services;

pub mod holdings;

pub mod mounts;

pub mod sockets;

mod open_files;

mod namespace_objects;

pub mod ranking;

mod line_count;

pub mod host;

pub mod objects;

mod stat;

mod proc_dir;

pub mod engine;

mod kernel_threads;

pub mod interfaces;

pub mod disk;

pub mod log;

mod confines;

pub mod process;

pub mod executable;

pub mod setup;

pub mod layers;

pub mod scan;

pub mod boot;

pub mod units;

pub mod unix_sockets;

pub mod daemons;

pub mod service_socket;

pub mod podman;
