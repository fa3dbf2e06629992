//! What the kernel knows about a process. Only Linux tells others.

use std::time::Duration;

/// The CPU time that it has taken, its ended threads' included.
pub(super) fn cpu(process_id: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use nix::{time::ClockId, unistd::Pid};
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process_id.try_into().ok()?)).ok()?;
        Some(clock.now().ok()?.into())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = process_id;
        None
    }
}

/// The most memory that it has held, in MB.
pub(super) fn peak_memory(process_id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
