//! Medians, percentiles and the disk.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds of each line. Every round takes its baseline in turn with the figure, so that whatever
/// else the machine does meets both.
pub(crate) const ROUNDS: usize = 5;

/// The time that half of the samples stay under.
pub(crate) fn p50(times: &mut [Duration]) -> Duration {
    percentile(times, 50)
}

/// The time that 99 of 100 samples stay under.
pub(crate) fn p99(times: &mut [Duration]) -> Duration {
    percentile(times, 99)
}

fn percentile(times: &mut [Duration], of_hundred: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * of_hundred / 100).min(times.len() - 1)]
}

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Median, lowest and highest: `0.71 (0.66–0.74)`.
pub(crate) fn spread(figures: &[f64], digits: usize) -> String {
    let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let high = figures.iter().copied().fold(0.0, f64::max);
    format!(
        "{:.digits$} ({low:.digits$}–{high:.digits$})",
        median(figures)
    )
}

/// Microseconds of processor time that this process, with its clients, took for each of `count`
/// things that `work` does. It hardly changes with what else the machine does, unlike a rate.
pub(crate) fn cpu<T>(count: u32, work: impl FnOnce() -> T) -> (f64, T) {
    let before = cpu_ticks();
    let done = work();
    // The kernel tells in hundredths of a second.
    let micros = (cpu_ticks() - before) as f64 * 10_000.0;
    (micros / f64::from(count), done)
}

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name may hold spaces; what follows it does not. Fields 14 and 15 are user and system.
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// The median time of writing 4 KiB over a file that is there and of its fdatasync: what a commit
/// cannot be faster than.
pub(crate) fn fdatasync(dir: &Path, times: u32) -> Duration {
    let mut file = std::fs::File::create(dir.join("baseline")).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    file.sync_all().unwrap();
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let started = Instant::now();
            file.rewind().unwrap();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    p50(&mut took)
}
