//! What the kernel knows about a process. Only Linux tells others.

use std::time::Duration;

/// The CPU time that its threads have taken, of those that have not ended. It is exact for a thread that waits.
pub(super) fn cpu(process_id: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{process_id}/task")).ok()?;
    let nanoseconds = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    threads.map(nanoseconds).sum::<Option<u64>>().map(Duration::from_nanos)
}

/// The most memory that it has held, in MB.
pub(super) fn peak_memory(process_id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
