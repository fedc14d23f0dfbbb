//! Figures of a measurement: percentiles, memory of this process, and how they are printed.

use std::time::Duration;

/// Prints one figure, aligned with the others.
pub(super) fn print(name: &str, value: f64, unit: &str) {
    let digits = if value.abs() >= 1000.0 { 0 } else { 3 };
    println!("{name:<44} {value:>16.digits$} {unit}");
}

/// The value below which this share (0 to 1) of the durations lies, in microseconds.
pub(super) fn percentile_us(durations: &mut [Duration], share: f64) -> f64 {
    if durations.is_empty() {
        return f64::NAN;
    }
    durations.sort_unstable();
    let at = ((durations.len() - 1) as f64 * share).round() as usize;
    durations[at].as_secs_f64() * 1e6
}

/// A figure of `/proc/self/status` in bytes, such as `VmRSS` or `VmHWM`; 0 where there is no such file.
pub(super) fn process_bytes(field: &str) -> u64 {
    process_bytes_of("self", field)
}

/// As `process_bytes`, of any process.
pub(super) fn process_bytes_of(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
