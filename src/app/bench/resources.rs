//! What the process has used: CPU time, and the most memory since it was last asked.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What was used so far, to be compared with later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    cpu: Duration,
    /// True where the peak of the memory begins anew here.
    peak_is_reset: bool,
}

/// What was used in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// By all threads, in the program and in the kernel.
    pub cpu: Duration,
    /// The most memory that was resident; `None` where the system does not tell.
    pub peak_bytes: Option<u64>,
}

impl Before {
    /// Begins to look.
    pub fn now() -> Self {
        // 5 sets the peak back to what is resident now; see proc_pid_clear_refs(5). Elsewhere than on Linux there is no
        // such file, and a peak of the whole process would be shown as that of a line.
        let peak_is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { cpu: cpu(), peak_is_reset }
    }

    /// What was used since.
    pub fn used(self) -> Used {
        let peak_bytes = if self.peak_is_reset { peak() } else { None };
        Used { cpu: cpu().saturating_sub(self.cpu), peak_bytes }
    }
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
