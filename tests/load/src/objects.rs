//! Load on objects of the kernel that no cgroup counts: open files, pseudo terminals, inotify watches.
//!
//! Not here: System V objects, which take system calls that only unsafe code can make.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::inotify;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::hold;

/// Opened in one go: all at once would be over before anybody could have looked.
const AT_ONCE: usize = 5_000;
const PAUSE: Duration = Duration::from_millis(200);

/// Files that each inotify instance watches; how many instances one user may have is limited, often to 128.
const WATCHED: usize = 1_000;

/// Holds so many open files.
pub(crate) fn open_files(count: usize) -> io::Result<()> {
    open_all(Path::new("/dev/null"), count)
}

/// Holds so many pseudo terminals.
pub(crate) fn open_ptys(count: usize) -> io::Result<()> {
    open_all(Path::new("/dev/ptmx"), count)
}

/// Holds so many inotify watches, on files of its own.
pub(crate) fn watch_files(count: usize) -> io::Result<()> {
    let dir = Path::new("/tmp/watched");
    fs::create_dir_all(dir)?;
    for number in 0..WATCHED {
        File::create(dir.join(number.to_string()))?;
    }
    let mut instances = Vec::new();
    while instances.len() * WATCHED < count {
        let instance = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        for number in 0..WATCHED {
            inotify::add_watch(&instance, dir.join(number.to_string()), inotify::WatchFlags::MODIFY)?;
        }
        instances.push(instance);
        thread::sleep(PAUSE / 4);
    }
    hold(instances)
}

fn open_all(path: &Path, count: usize) -> io::Result<()> {
    // As many as the container may have; whether that is enough is seen when it is not.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        held.push(File::options().read(true).write(true).open(path)?);
        if held.len() % AT_ONCE == 0 {
            thread::sleep(PAUSE);
        }
    }
    hold(held)
}
