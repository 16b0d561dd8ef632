//! Wall time, CPU time and memory of this process, as the kernel counts them, and ratios pair by pair.

use std::time::Instant;

/// One measured run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Seconds on the wall clock.
    pub(crate) wall: f64,
    /// Seconds of CPU, all threads, user and system.
    pub(crate) cpu: f64,
}

/// Measures one run of `work`.
pub(crate) async fn measured<T>(work: impl AsyncFnOnce() -> T) -> (Run, T) {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let result = work().await;
    let run = Run {
        wall: wall.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
    };
    (run, result)
}

/// Measures what these processes do while `work` goes on.
pub(crate) fn measured_processes(processes: &[&Process], work: impl FnOnce()) -> Run {
    let cpu = || -> f64 { processes.iter().map(|process| process.cpu_seconds()).sum() };
    let (wall, before) = (Instant::now(), cpu());
    work();
    Run {
        wall: wall.elapsed().as_secs_f64(),
        cpu: cpu() - before,
    }
}

/// The median, the least and the greatest of some figures.
pub(crate) fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let median = if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], figures[middle])
    } else {
        figures[middle]
    };
    (figures[0], median, figures[figures.len() - 1])
}

/// `0.61 (0.58–0.66)`: the median of the ratios of each pair, and between what they lay.
pub(crate) fn ratio(pairs: &[(f64, f64)]) -> String {
    let (least, median, greatest) = spread(pairs.iter().map(|(a, b)| a / b).collect());
    format!("{median:.2} ({least:.2}–{greatest:.2})")
}

/// Ticks of a second, as Linux tells them on the architectures we build for.
const USER_HZ: f64 = 100.0;

/// A process of this machine.
pub(crate) struct Process(u32);

impl Process {
    /// By its number.
    pub(crate) const fn of(pid: u32) -> Self {
        Self(pid)
    }

    /// `kill -SIGNAL` to it.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill")
            .args([format!("-{signal}"), self.0.to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{signal}");
    }

    /// The largest resident size so far.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = self.told("status");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("the kernel tells it") / 1024
    }

    /// Seconds of CPU so far, all threads, user and system, in hundredths.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        // proc_pid_stat(5): fields 14 and 15; the name of the program, field 2, may hold anything but ends the parentheses.
        let stat = self.told("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| fields[field - 3].parse::<f64>().expect("ticks");
        (ticks(14) + ticks(15)) / USER_HZ
    }

    fn told(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).expect("it runs")
    }
}

/// What it ran on.
pub(crate) fn machine() {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default();
    println!("machine: {cpus} × {model}; {memory}");
}

fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of one process")]
    let seconds = used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9;
    seconds
}
