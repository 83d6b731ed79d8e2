//! Sources against fakes of what they read.

#[cfg(test)]
mod fake_engine;

#[cfg(test)]
mod birth;

#[cfg(test)]
mod containers;

#[cfg(test)]
mod contract;

#[cfg(test)]
mod sampler;

#[cfg(test)]
mod scan;

#[cfg(test)]
mod silence;

#[cfg(test)]
mod real_containerd;

#[cfg(test)]
mod units;

#[cfg(test)]
mod podman;
