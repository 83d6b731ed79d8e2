//! A load generator for the live tests: one static program that goes into the images and is attacker or twin by its
//! argument.
//!
//! Not here: what a shell of busybox can do as well (`yes`, `dd`, forks, crashes, `sync`); the tests use that.
#![allow(clippy::disallowed_methods, reason = "a load may sleep: nobody tells it to stop, it is killed")]
#![allow(
    clippy::print_stderr,
    reason = "a program of a test says on standard error why it cannot do what it was told"
)]

mod engine;
mod network;
mod objects;
mod talk;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: load burn THREADS | ramp SECONDS PERCENT | memory MB_PER_SECOND MB | tasks COUNT | \
                     fsync PER_SECOND DIR | sync DIR | udp ADDRESS [PER_SECOND] | drain ADDRESS | connect ADDRESS PER_SECOND | accept ADDRESS | \
                     serve ADDRESS | ask ADDRESS [MILLISECONDS JITTER_PERCENT] | scan ADDRESS FIRST LAST | sweep NETWORK PORT | \
                     upload ADDRESS MB [SECONDS] | spread COUNT ADDRESS | churn PER_SECOND THREADS | tunnel SERVER DOMAIN PER_SECOND | lookups SERVER PER_SECOND | \
                     names ADDRESS | engine SOCKET | open COUNT | ptys COUNT | inotify COUNT | calls SOCKET CONTAINER | write FILE MB_PER_SECOND MB | print MB_PER_SECOND";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match *words {
        ["burn", threads] => work::burn(number(threads)?),
        ["ramp", seconds, percent] => {
            work::ramp(Duration::from_secs(number(seconds)?), number::<f64>(percent)? / 100.0);
        }
        ["memory", speed, most] => work::memory(number(speed)?, number(most)?)?,
        ["tasks", count] => work::tasks(number(count)?)?,
        ["fsync", rate, dir] => work::fsync(number(rate)?, dir.as_ref())?,
        ["sync", dir] => work::sync(dir.as_ref())?,
        ["print", speed] => work::print(number(speed)?)?,
        ["write", file, speed, most] => work::write(file.as_ref(), number(speed)?, number(most)?)?,
        ["udp", address] => network::send_datagrams(number(address)?, None)?,
        ["udp", address, rate] => network::send_datagrams(number(address)?, Some(number(rate)?))?,
        ["drain", address] => network::drain_datagrams(number(address)?)?,
        ["connect", address, rate] => network::connect(number(address)?, number(rate)?)?,
        ["accept", address] => network::accept(number(address)?)?,
        ["serve", address] => talk::serve(number(address)?)?,
        ["ask", address] => talk::ask(number(address)?, None)?,
        ["ask", address, millis, jitter] => {
            let every = Duration::from_millis(number(millis)?);
            talk::ask(number(address)?, Some((every, number::<f64>(jitter)? / 100.0)))?;
        }
        ["scan", address, first, last] => talk::scan(number(address)?, number(first)?, number(last)?),
        ["sweep", network, port] => talk::sweep(number(network)?, number(port)?),
        ["upload", address, megabytes] => talk::upload(number(address)?, number(megabytes)?)?,
        ["upload", address, megabytes, pause] => {
            talk::upload_later(number(address)?, number(megabytes)?, Duration::from_secs(number(pause)?))?;
        }
        ["spread", count, address] => network::spread_datagrams(number(count)?, number(address)?)?,
        ["churn", rate, threads] => talk::churn(number(rate)?, number(threads)?)?,
        ["tunnel", server, domain, rate] => talk::tunnel(number(server)?, domain, number(rate)?)?,
        ["lookups", server, rate] => talk::lookups(number(server)?, number(rate)?)?,
        ["names", address] => talk::names(number(address)?)?,
        ["engine", socket] => talk::engine(socket.as_ref())?,
        ["open", count] => objects::open_files(number(count)?)?,
        ["ptys", count] => objects::open_ptys(number(count)?)?,
        ["inotify", count] => objects::watch_files(number(count)?)?,
        ["calls", socket, container] => engine::call(socket.as_ref(), container)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// A number or an address, with what was wrong about it.
fn number<T: FromStr>(word: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    word.parse().map_err(|error| format!("{word}: {error}"))
}

/// Keeps what is held until somebody ends the program.
fn hold<T>(held: T) -> ! {
    let _held = held;
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
