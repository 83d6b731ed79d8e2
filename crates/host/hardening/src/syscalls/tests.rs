//! The filter in force. nextest gives each test a process of its own: what is sealed stays sealed.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::mpsc::channel;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};

use super::*;

fn sealed() {
    set_no_new_privs(true).unwrap();
    seal().unwrap();
}

#[test]
fn no_thread_runs_a_program_afterwards_not_even_one_that_was_there_before() {
    let (go, gone) = channel();
    let early = std::thread::spawn(move || {
        gone.recv().unwrap();
        Command::new("/bin/true").status().map_err(|error| error.kind())
    });
    assert!(Command::new("/bin/true").status().unwrap().success(), "before the filter it runs");
    sealed();
    go.send(()).unwrap();
    let refused = Err(std::io::ErrorKind::PermissionDenied);
    assert_eq!(early.join().unwrap().map(drop), refused);
    let late = std::thread::spawn(|| Command::new("/bin/true").status().map_err(|error| error.kind()));
    assert_eq!(late.join().unwrap().map(drop), refused);
}

#[test]
fn sockets_of_other_families_are_refused_and_those_in_use_are_not() {
    sealed();
    for family in
        [AddressFamily::INET, AddressFamily::INET6, AddressFamily::PACKET, AddressFamily::from_raw(38)]
    {
        assert_eq!(socket(family, SocketType::DGRAM, None).unwrap_err(), Errno::PERM, "{family:?}");
    }
    socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    let mut byte = [0];
    listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn only_ipc_and_network_namespaces_can_be_entered() {
    sealed();
    let own = |name: &str| std::fs::File::open(format!("/proc/self/ns/{name}")).unwrap();
    let enter = |name: &str, kind| move_into_link_name_space(own(name).as_fd(), kind);
    assert_eq!(enter("uts", Some(LinkNameSpaceType::HostNameAndNISDomainName)), Err(Errno::PERM));
    assert_eq!(enter("net", None), Err(Errno::PERM), "any kind would be a way around");
    // The filter passes these; the kernel wants CAP_SYS_ADMIN, which not every runner of tests has.
    let is_root = rustix::process::geteuid().is_root();
    assert!(enter("net", Some(LinkNameSpaceType::Network)).is_ok() || !is_root);
    assert!(enter("ipc", Some(LinkNameSpaceType::InterProcessCommunication)).is_ok() || !is_root);
}

#[test]
fn another_root_programs_in_memory_and_user_namespaces_are_refused() {
    sealed();
    let memory = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC);
    assert_eq!(memory.unwrap_err(), Errno::PERM);
    assert_eq!(rustix::process::chroot("/"), Err(Errno::PERM));
    let keys = std::fs::File::open("/proc/self/ns/user").unwrap();
    let user = Some(LinkNameSpaceType::User);
    assert_eq!(move_into_link_name_space(keys.as_fd(), user), Err(Errno::PERM));
}

#[test]
fn every_refused_call_is_refused_by_its_x32_number_too() {
    let rules = rules().unwrap();
    #[cfg(target_arch = "x86_64")]
    for call in REFUSED {
        assert!(rules.contains_key(&(call | X32)), "{call}");
    }
    assert!(rules[&libc::SYS_execve].is_empty(), "no condition: refused always");
    assert_eq!(rules[&libc::SYS_bpf].len(), BPF_REFUSED.len());
}

#[test]
fn what_the_sensor_does_every_second_still_works() {
    sealed();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "text").unwrap();
    std::fs::rename(&path, dir.path().join("other")).unwrap();
    std::thread::spawn(|| std::fs::read_dir("/proc/self/task").unwrap().count()).join().unwrap();
    std::fs::read_link("/proc/self/exe").unwrap();
    std::os::unix::net::UnixDatagram::pair().unwrap();
}
