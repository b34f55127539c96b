//! Many operations by several processes at once.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What became of the operations, summed over the processes.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    operations: u64,
    denied: u64,
    /// Not what should have come of them.
    wrong: u64,
}

impl Outcome {
    fn count(&mut self, path: &Path, should_deny: bool) {
        self.operations += 1;
        let denied = match rustix::fs::open(path, OFlags::RDONLY, Mode::empty()) {
            Ok(_) => Some(false),
            Err(Errno::PERM) => Some(true),
            Err(_) => None,
        };
        self.denied += u64::from(denied == Some(true));
        self.wrong += u64::from(denied != Some(should_deny));
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.operations, self.denied, self.wrong)
    }
}

/// Starts this program again `processes` times, with `arguments` for each, and sums what they print.
fn together(processes: u32, arguments: impl Fn(u32) -> Vec<String>) -> Result<Outcome> {
    let start = |number| {
        Command::new("/proc/self/exe")
            .args(arguments(number))
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a process")
    };
    let children = (0..processes).map(start).collect::<Result<Vec<Child>>>()?;
    let mut sum = Outcome::default();
    for child in children {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "a process ended with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [operations, denied, wrong] = numbers[..] else { bail!("a process printed {text}") };
        sum.operations += operations;
        sum.denied += denied;
        sum.wrong += wrong;
    }
    Ok(sum)
}

#[derive(Args)]
pub(crate) struct Hammer {
    /// Processes; 0 = do it in this one.
    #[arg(long, default_value_t = 0)]
    processes: u32,
    /// End when this file exists.
    #[arg(long)]
    until: PathBuf,
    /// Microseconds to wait after each file.
    #[arg(long, default_value_t = 0)]
    pause_us: u64,
    /// File whose opening must be denied.
    #[arg(long)]
    deny: Vec<PathBuf>,
    /// File whose opening must be allowed.
    #[arg(long)]
    allow: Vec<PathBuf>,
}

/// Operations between two looks at whether it is time to end.
const ROUND: u32 = 64;

/// Prints operations, denied ones and wrong ones.
pub(super) fn hammer(hammer: &Hammer) -> Result<()> {
    let outcome = if hammer.processes == 0 { hammer_here(hammer) } else { hammer_together(hammer)? };
    println!("{outcome}");
    Ok(())
}

fn hammer_together(hammer: &Hammer) -> Result<Outcome> {
    let option = |name: &str, path: &Path| vec![name.to_owned(), path.to_string_lossy().into_owned()];
    together(hammer.processes, |_| {
        let mut arguments = vec!["tool".to_owned(), "hammer".to_owned()];
        arguments.extend(option("--until", &hammer.until));
        arguments.extend(["--pause-us".to_owned(), hammer.pause_us.to_string()]);
        arguments.extend(hammer.deny.iter().flat_map(|path| option("--deny", path)));
        arguments.extend(hammer.allow.iter().flat_map(|path| option("--allow", path)));
        arguments
    })
}

fn hammer_here(hammer: &Hammer) -> Outcome {
    let mut outcome = Outcome::default();
    let deny = hammer.deny.iter().map(|path| (path, true));
    let files: Vec<(&PathBuf, bool)> = deny.chain(hammer.allow.iter().map(|path| (path, false))).collect();
    while !hammer.until.exists() {
        for _ in 0..ROUND {
            for (path, should_deny) in &files {
                outcome.count(path, *should_deny);
                if hammer.pause_us > 0 {
                    std::thread::sleep(Duration::from_micros(hammer.pause_us));
                }
            }
        }
    }
    outcome
}

#[derive(Args)]
pub(crate) struct Walk {
    /// Processes; 0 = do it in this one.
    #[arg(long, default_value_t = 0)]
    processes: u32,
    /// Number of this process, and of its directory.
    #[arg(long, default_value_t = 0)]
    number: u32,
    /// Files that each process opens.
    #[arg(long)]
    operations: u32,
    /// Directory with one directory for each process, by number; in each of these the program `tool`, and somewhere
    /// below the files `secret` (to be denied) and `public`.
    root: PathBuf,
}

/// Prints operations, denied ones and wrong ones.
pub(super) fn walk(walk: &Walk) -> Result<()> {
    let outcome = if walk.processes == 0 {
        walk_here(walk)?
    } else {
        let root = walk.root.to_string_lossy().into_owned();
        together(walk.processes, |number| {
            let (number, operations) = (number.to_string(), walk.operations.to_string());
            ["tool", "walk", "--number", &number, "--operations", &operations, &root]
                .map(str::to_owned)
                .to_vec()
        })?
    };
    println!("{outcome}");
    Ok(())
}

/// Before each file an executable gets another name, which makes everything wrong that is remembered of paths.
fn walk_here(walk: &Walk) -> Result<Outcome> {
    let own = walk.root.join(walk.number.to_string());
    let names = [own.join("tool"), own.join("tool-with-another-name")];
    let (secret, public) = (find(&own, "secret")?, find(&own, "public")?);
    let mut outcome = Outcome::default();
    for operation in 0..walk.operations as usize {
        fs::rename(&names[operation % 2], &names[1 - operation % 2])?;
        let deny = operation % 3 == 0;
        outcome.count(if deny { &secret } else { &public }, deny);
    }
    Ok(outcome)
}

/// The file of this name below a directory.
fn find(directory: &Path, name: &str) -> Result<PathBuf> {
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else if entry.file_name() == name {
                return Ok(entry.path());
            }
        }
    }
    bail!("there is no {name} below {}", directory.display())
}

#[derive(Args)]
pub(crate) struct Race {
    /// How often the file goes there and back.
    #[arg(long)]
    rounds: u32,
    /// Processes that open the file meanwhile.
    #[arg(long, default_value_t = 2)]
    processes: u32,
    /// Directory whose files may be opened; has the files `moving` and `staying`.
    #[arg(long)]
    public: PathBuf,
    /// Directory whose files must not be opened; has the file `staying`.
    #[arg(long)]
    secret: PathBuf,
    /// File that ends the other processes.
    #[arg(long)]
    until: PathBuf,
}

/// Prints checks, denied ones and wrong ones.
pub(super) fn race(race: &Race) -> Result<()> {
    // Of another length there, so that what is cut off by the length of the name is another part.
    let (public, secret) = (race.public.join("moving"), race.secret.join("m"));
    let opener = || {
        Command::new("/proc/self/exe")
            .args(["tool", "hammer", "--until"])
            .arg(&race.until)
            .arg("--allow")
            .arg(&public)
            .arg("--deny")
            .arg(&secret)
            .stdout(Stdio::null())
            .spawn()
            .context("starting a process")
    };
    let openers = (0..race.processes).map(|_| opener()).collect::<Result<Vec<Child>>>()?;
    let mut outcome = Outcome::default();
    let result = (0..race.rounds).try_for_each(|_| there_and_back(race, &public, &secret, &mut outcome));
    fs::write(&race.until, "")?;
    for mut opener in openers {
        opener.wait()?;
    }
    result?;
    println!("{outcome}");
    Ok(())
}

fn there_and_back(race: &Race, public: &Path, secret: &Path, outcome: &mut Outcome) -> Result<()> {
    let mut check = |moving: &Path, deny| {
        for _ in 0..2 {
            outcome.count(moving, deny);
            outcome.count(&race.public.join("staying"), false);
            outcome.count(&race.secret.join("staying"), true);
        }
    };
    // There and back at once, so that a walk begun before can end after both.
    fs::rename(public, secret)?;
    fs::rename(secret, public)?;
    check(public, false);
    fs::rename(public, secret)?;
    fs::rename(secret, public)?;
    fs::rename(public, secret)?;
    check(secret, true);
    fs::rename(secret, public)?;
    Ok(())
}
