//! Which container comes first, and what all of them cost together.
//!
//! Not here: how they are shown.

use clap::ValueEnum;
use engine::status::ContainerStatus;

/// What containers are sorted by, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// CPU of its own and CPU that others spend for it, together.
    #[default]
    True,
    /// CPU of its own cgroup: all that container metrics show.
    Own,
    /// CPU that others spend for it.
    OutOfBand,
    /// Memory.
    Memory,
    /// Bytes to and from block devices.
    Io,
    /// Growth of its log.
    Log,
    /// Bytes of packets.
    Net,
}

impl Order {
    /// The order that a key chooses.
    pub(super) fn of_key(key: char) -> Option<Self> {
        Some(match key {
            't' => Self::True,
            'o' => Self::Own,
            'b' => Self::OutOfBand,
            'm' => Self::Memory,
            'i' => Self::Io,
            'l' => Self::Log,
            'n' => Self::Net,
            _ => return None,
        })
    }

    /// The words used on the screen.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::True => "true cost",
            Self::Own => "own CPU",
            Self::OutOfBand => "out-of-band CPU",
            Self::Memory => "memory",
            Self::Io => "disk I/O",
            Self::Log => "log growth",
            Self::Net => "network",
        }
    }

    fn of(self, container: &ContainerStatus) -> Option<f64> {
        match self {
            Self::True => true_cores(container),
            Self::Own => container.own_cpu_cores,
            Self::OutOfBand => container.out_of_band_cpu_cores,
            Self::Memory => container.memory_bytes.map(|bytes| bytes as f64),
            Self::Io => io(container),
            Self::Log => container.log_bytes_per_second,
            Self::Net => net(container),
        }
    }
}

/// What containers cost together, in cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// CPU of their own cgroups.
    pub(super) own: f64,
    /// CPU that others spent for them.
    pub(super) out_of_band: f64,
}

impl Totals {
    pub(super) fn of<'a>(containers: impl IntoIterator<Item = &'a ContainerStatus>) -> Self {
        containers.into_iter().fold(Self::default(), |sum, container| Self {
            own: sum.own + container.own_cpu_cores.unwrap_or_default(),
            out_of_band: sum.out_of_band + container.out_of_band_cpu_cores.unwrap_or_default(),
        })
    }

    pub(super) fn true_cores(self) -> f64 {
        self.own + self.out_of_band
    }
}

/// CPU of its own and out of band, in cores; `None` before its first second is closed.
pub(super) fn true_cores(container: &ContainerStatus) -> Option<f64> {
    Some(container.own_cpu_cores? + container.out_of_band_cpu_cores.unwrap_or_default())
}

/// Bytes a second to and from block devices.
pub(super) fn io(container: &ContainerStatus) -> Option<f64> {
    container.activity.as_ref()?.io_bytes_per_second
}

/// Bytes of packets a second.
pub(super) fn net(container: &ContainerStatus) -> Option<f64> {
    Some(container.activity.as_ref()?.counted.as_ref()?.packet_bytes_per_second)
}

/// The containers, most first. Equals keep to their true cost, then to their names, so that rows do not jump.
pub(super) fn sorted(containers: &[ContainerStatus], order: Order) -> Vec<&ContainerStatus> {
    let mut sorted: Vec<&ContainerStatus> = containers.iter().collect();
    let most = |by: Order, a: &ContainerStatus, b: &ContainerStatus| {
        by.of(b).unwrap_or(-1.0).total_cmp(&by.of(a).unwrap_or(-1.0))
    };
    sorted.sort_by(|a, b| {
        most(order, a, b)
            .then_with(|| most(Order::True, a, b))
            .then_with(|| a.name.cmp(&b.name))
            .then(a.cgroup_id.cmp(&b.cgroup_id))
    });
    sorted
}
