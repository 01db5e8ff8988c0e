//! Resources that the process has used: CPU time, and the peak memory of an interval.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The usage so far, to compare with later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    cpu: Duration,
    /// True if the peak of the memory was reset here.
    peak_is_reset: bool,
}

/// The usage of an interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Of all threads, in user mode and in the kernel.
    pub cpu: Duration,
    /// The peak of the resident memory; `None` where the system does not report it.
    pub peak_bytes: Option<u64>,
}

impl Before {
    /// Begins an interval.
    pub fn now() -> Self {
        // Writing 5 resets the peak to what is resident now; see proc_pid_clear_refs(5). Other systems have no such
        // file. There, the peak of the whole process would be shown for one line, so it is left out.
        let peak_is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { cpu: cpu(), peak_is_reset }
    }

    /// The usage since `now`.
    pub fn used(self) -> Used {
        let peak_bytes = if self.peak_is_reset { peak() } else { None };
        Used { cpu: cpu().saturating_sub(self.cpu), peak_bytes }
    }
}

/// Microseconds of CPU for a thousand of `count` commands.
pub(super) fn cpu_us_per_1000(cpu: Duration, count: usize) -> Option<u64> {
    let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
    cpu_us.saturating_mul(1_000).checked_div(u64::try_from(count).unwrap_or(u64::MAX))
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_uses_cpu_and_memory() {
        let before = Before::now();
        let mut bytes = vec![0_u8; 32 << 20];
        let mut sum = 0_u64;
        for round in 0..4_u8 {
            for byte in &mut bytes {
                *byte = byte.wrapping_add(round);
            }
            sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        std::hint::black_box(sum);
        let used = before.used();
        assert!(used.cpu > Duration::ZERO, "{used:?}");
        assert!(used.peak_bytes.is_none_or(|peak| peak > 32 << 20), "{used:?}");
    }
}
