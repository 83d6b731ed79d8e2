//! Sources against fakes of what they read.

#[cfg(test)]
mod fake_engine;

#[cfg(test)]
mod containers;
