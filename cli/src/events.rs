//! `lictor events`: the event stream of this machine's node worker.

use crate::node::SocketArgs;
use anstyle::{AnsiColor, Style};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use lictor_node_worker::socket::client;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// Characters of a process's arguments that a compact line shows.
const ARGUMENTS_SHOWN: usize = 120;

/// Options of `lictor events`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    socket: SocketArgs,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", default_value = "compact")]
    output: Form,
    /// Only these types of events; several with commas or by repeating.
    #[arg(short = 'e', long = "event-types", value_name = "TYPE", value_delimiter = ',', ignore_case = true)]
    types: Vec<EventType>,
    /// Only events of programs with this path or file name; may be repeated.
    #[arg(long, value_name = "NAME")]
    process: Vec<String>,
    /// Only events of this policy; may be repeated.
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Show the stacks of events below their compact lines, the innermost function first.
    #[arg(long)]
    stack_traces: bool,
    /// Begin compact lines with the time of the event.
    #[arg(long)]
    timestamps: bool,
    /// Colours of compact lines.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Read event lines from a file instead of the node worker; `-` = standard input.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A short line for each event.
    Compact,
    /// The JSON lines as they are.
    Json,
}

/// When lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EventType {
    /// A process began a program.
    #[value(alias = "process_exec")]
    Exec,
    /// A process ended.
    #[value(alias = "process_exit")]
    Exit,
    /// A rule at a function fired.
    #[value(alias = "process_kprobe")]
    Kprobe,
    /// A rule at a tracepoint fired.
    #[value(alias = "process_tracepoint")]
    Tracepoint,
    /// A rule at an LSM hook fired.
    #[value(alias = "process_lsm")]
    Lsm,
    /// A rule at a function of a program fired.
    #[value(alias = "process_uprobe")]
    Uprobe,
    /// A rule at a probe of a program fired.
    #[value(alias = "process_usdt")]
    Usdt,
    /// A file was mapped as code.
    #[value(alias = "process_loader")]
    Loader,
    /// Events were lost.
    #[value(alias = "rate_limit_info")]
    Gap,
}

impl EventType {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Exec, "process_exec"),
        (Self::Exit, "process_exit"),
        (Self::Kprobe, "process_kprobe"),
        (Self::Tracepoint, "process_tracepoint"),
        (Self::Lsm, "process_lsm"),
        (Self::Uprobe, "process_uprobe"),
        (Self::Usdt, "process_usdt"),
        (Self::Loader, "process_loader"),
        (Self::Gap, "rate_limit_info"),
    ];
}

/// Shows events until the stream or the reader ends.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let coloured = match options.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let mut out = std::io::stdout().lock();
    let mut show = |line: &[u8]| -> std::io::Result<()> {
        if let Some(text) = shown(options, line, coloured) {
            out.write_all(text.as_bytes())?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        Ok(())
    };
    match &options.input {
        None => {
            let mut events = client::events(&options.socket.socket)?;
            while let Some(line) = events.next_line()? {
                show(line)?;
            }
            anyhow::bail!("the node worker ended the stream");
        }
        Some(path) => {
            let input: Box<dyn std::io::BufRead> = if path.as_os_str() == "-" {
                Box::new(std::io::stdin().lock())
            } else {
                Box::new(std::io::BufReader::new(std::fs::File::open(path)?))
            };
            for line in input.split(b'\n') {
                show(&line?)?;
            }
            Ok(true)
        }
    }
}

/// What is shown of a line; `None` = it is filtered out. A line that is no event is shown as it is.
fn shown<'a>(options: &Options, line: &'a [u8], coloured: bool) -> Option<Cow<'a, str>> {
    if line.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let Ok(event) = serde_json::from_str::<Value>(&text) else {
        return Some(printable(&text).into());
    };
    let found = EventType::ALL.iter().find_map(|(kind, name)| Some((*kind, event.get(*name)?)));
    let Some((kind, body)) = found else { return Some(printable(&text).into()) };
    if !options.types.is_empty() && !options.types.contains(&kind) {
        return None;
    }
    // A gap concerns every filter: what is lost may have been what was asked for.
    if kind != EventType::Gap
        && !(wants_process(options, body) && wants_policy(options, body, &event["lictor"]))
    {
        return None;
    }
    Some(match options.output {
        Form::Json => text,
        Form::Compact => {
            let mut lines = compact(kind, body, &event, options.timestamps, coloured);
            if options.stack_traces {
                push_stacks(&mut lines, body, &event["lictor"], coloured);
            }
            lines.into()
        }
    })
}

fn wants_process(options: &Options, body: &Value) -> bool {
    let binary = body["process"]["binary"].as_str().unwrap_or_default();
    let name = binary.rsplit('/').next().unwrap_or(binary);
    options.process.is_empty() || options.process.iter().any(|wanted| wanted == binary || wanted == name)
}

fn wants_policy(options: &Options, body: &Value, ours: &Value) -> bool {
    let policy = policy_of(body, ours);
    options.policy.is_empty()
        || policy.is_some_and(|policy| options.policy.iter().any(|wanted| wanted == policy))
}

/// The policy that reports; of a loaded file it stands beside the event.
fn policy_of<'a>(body: &'a Value, ours: &'a Value) -> Option<&'a str> {
    body["policy_name"].as_str().or_else(|| ours["policy_name"].as_str())
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const MAGENTA: Style = AnsiColor::Magenta.on_default();

/// A line that is put together from words in styles.
struct Line {
    text: String,
    coloured: bool,
}

impl Line {
    fn word(&mut self, style: Style, word: &str) {
        if word.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let word = printable(word);
        // Writing to a string cannot fail.
        let _ = if self.coloured {
            write!(self.text, "{style}{word}{style:#}")
        } else {
            write!(self.text, "{word}")
        };
    }
}

fn compact(kind: EventType, body: &Value, event: &Value, timestamps: bool, coloured: bool) -> String {
    let mut line = Line { text: String::new(), coloured };
    if timestamps {
        line.word(DIM, event["time"].as_str().unwrap_or_default());
    }
    let ours = &event["lictor"];
    let (style, verb) = headline(kind, body, ours);
    line.word(style, &format!("{verb:<8}"));
    if kind == EventType::Gap {
        push_gap(&mut line, body, ours);
        return line.text;
    }
    let process = &body["process"];
    line.word(DIM, &format!("{:>7}", process["pid"].as_u64().unwrap_or(0)));
    line.word(BOLD, process["binary"].as_str().unwrap_or("?"));
    line.word(Style::new(), &cut(process["arguments"].as_str().unwrap_or_default(), ARGUMENTS_SHOWN));
    match kind {
        EventType::Exec | EventType::Gap => {}
        EventType::Exit => match (body["signal"].as_str(), body["status"].as_u64()) {
            (Some(signal), _) => line.word(RED, signal),
            (None, Some(status)) => line.word(YELLOW, &format!("status {status}")),
            (None, None) => line.word(DIM, "status 0"),
        },
        EventType::Kprobe | EventType::Tracepoint | EventType::Lsm | EventType::Uprobe | EventType::Usdt => {
            push_hook(&mut line, body, ours);
        }
        EventType::Loader => push_loaded(&mut line, body, ours),
    }
    line.text
}

/// How a line begins: what happened to the operation.
fn headline(kind: EventType, body: &Value, ours: &Value) -> (Style, &'static str) {
    let monitor = ours["mode"] == "monitor";
    match kind {
        EventType::Exec => (GREEN, "exec"),
        EventType::Exit => (MAGENTA, "exit"),
        EventType::Loader => (CYAN, "load"),
        EventType::Gap => (RED, "LOST"),
        EventType::Kprobe | EventType::Tracepoint | EventType::Lsm | EventType::Uprobe | EventType::Usdt => {
            if monitor {
                (YELLOW, "monitor")
            } else if ours["signal"] == 9 {
                (RED, "killed")
            } else if ours["verdict"] == "deny" {
                (RED, "denied")
            } else if ours["signal"].is_u64() {
                (RED, "signal")
            } else if body["action"] == "KPROBE_ACTION_GETURL" {
                (CYAN, "url")
            } else {
                (CYAN, "event")
            }
        }
    }
}

fn push_gap(line: &mut Line, body: &Value, ours: &Value) {
    line.word(RED, &format!("{} events", body["number_of_dropped_process_events"].as_str().unwrap_or("?")));
    if let Some(lost) = ours["lost"].as_object() {
        let list: Vec<String> =
            lost.iter().map(|(name, count)| format!("{name} {}", count.as_str().unwrap_or("?"))).collect();
        line.word(DIM, &list.join(", "));
    }
}

/// Where it was: a function, `subsystem/event`, `path:symbol` or `path:provider:name`.
fn place_of(body: &Value) -> String {
    let text = |member: &str| body[member].as_str();
    if let Some(function) = text("function_name") {
        return function.to_owned();
    }
    let members = if text("path").is_some() {
        ["path", "provider", "name", "symbol"].as_slice()
    } else {
        ["subsys", "event"].as_slice()
    };
    let parts: Vec<&str> = members.iter().filter_map(|member| text(member)).collect();
    parts.join(if text("path").is_some() { ":" } else { "/" })
}

/// The file, and its build id in the digits in which other tools write it.
fn push_loaded(line: &mut Line, body: &Value, ours: &Value) {
    line.word(CYAN, body["path"].as_str().unwrap_or("(no path)"));
    let id = body["buildid"].as_str().and_then(|id| STANDARD.decode(id).ok()).unwrap_or_default();
    let digits = id.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    line.word(Style::new(), &digits);
    if ours["verdict"] == "deny" {
        line.word(RED, &format!("errno {}", ours["errno"]));
    }
    if ours["unresolved"] == true {
        line.word(YELLOW, "(a value could not be read)");
    }
    line.word(DIM, policy_of(body, ours).unwrap_or_default());
}

fn push_hook(line: &mut Line, body: &Value, ours: &Value) {
    line.word(CYAN, &place_of(body));
    for argument in body["args"].as_array().into_iter().flatten() {
        line.word(Style::new(), &argument_text(argument));
    }
    if let Some(value) = body.get("return") {
        line.word(DIM, &format!("= {}", argument_text(value)));
    }
    if ours["mode"] == "monitor" {
        let mut would = Vec::new();
        if ours["verdict"] == "deny" {
            would.push(format!("deny with errno {}", ours["errno"]));
        }
        if ours["signal"].is_u64() {
            would.push(format!("send signal {}", ours["signal"]));
        }
        line.word(YELLOW, &format!("(would {})", would.join(" and ")));
    } else if ours["verdict"] == "deny" {
        line.word(RED, &format!("errno {}", ours["errno"]));
    }
    for (member, word) in
        [("unresolved", "(a value could not be read)"), ("unknown_revision", "(of an old revision)")]
    {
        if ours[member] == true {
            line.word(YELLOW, word);
        }
    }
    if let Some(failed) = ours["failed"].as_str() {
        line.word(RED, &format!("({failed} failed)"));
    }
    line.word(DIM, body["policy_name"].as_str().unwrap_or_default());
    line.word(
        DIM,
        &body["message"].as_str().map(|text| format!("\u{201c}{text}\u{201d}")).unwrap_or_default(),
    );
}

/// Appends a line for each frame of each stack.
fn push_stacks(lines: &mut String, body: &Value, ours: &Value, coloured: bool) {
    for (member, name) in [("kernel_stack_trace", "kernel"), ("user_stack_trace", "program")] {
        let frames = body.get(member).or_else(|| ours.get(member)).and_then(Value::as_array);
        for frame in frames.into_iter().flatten() {
            let text = |member: &str| frame[member].as_str().unwrap_or_default();
            let mut line = Line { text: String::new(), coloured };
            line.word(DIM, &format!("{name:<8}"));
            let number = text("address").parse::<u64>().ok();
            line.word(DIM, &number.map(|address| format!("{address:#018x}")).unwrap_or_default());
            let offset = text("offset").parse::<u64>().unwrap_or(0);
            match (text("symbol"), text("module")) {
                ("", "") => line.word(Style::new(), "?"),
                ("", module) => line.word(Style::new(), &format!("{module}+{offset:#x}")),
                (symbol, module) => {
                    line.word(Style::new(), &format!("{symbol}+{offset:#x}"));
                    line.word(DIM, module);
                }
            }
            lines.push_str("\n    ");
            lines.push_str(&line.text);
        }
    }
    for failed in ours["failed_stacks"].as_array().into_iter().flatten() {
        let _ = write!(lines, "\n    {} could not be taken", printable(failed.as_str().unwrap_or("?")));
    }
}

/// An argument of an event in a word.
fn argument_text(argument: &Value) -> String {
    let Some((name, value)) =
        argument.as_object().and_then(|members| members.iter().find(|(name, _)| *name != "label"))
    else {
        return String::new();
    };
    match (name.as_str(), value) {
        ("file_arg" | "path_arg" | "linux_binprm_arg", _) => {
            value["path"].as_str().unwrap_or("(no path)").to_owned()
        }
        ("capability_arg", _) => {
            value["name"].as_str().map_or_else(|| value["value"].to_string(), str::to_owned)
        }
        ("bytes_arg", Value::String(text)) => format!("{} bytes", decoded_length(text)),
        ("truncated_bytes_arg", _) => format!("{} bytes", value["orig_size"].as_str().unwrap_or("?")),
        ("error_arg", _) => format!("<{}>", value["Message"].as_str().unwrap_or("?")),
        (_, Value::String(text)) => cut(text, ARGUMENTS_SHOWN).into_owned(),
        _ => value.to_string(),
    }
}

/// How many bytes a base64 text stands for.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|&byte| byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// The beginning of a text, with an ellipsis when something is left out.
fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        None => text.into(),
        Some((end, _)) => format!("{}\u{2026}", &text[..end]).into(),
    }
}

/// A text without characters that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        // Beside control characters, those that turn the direction of the text around.
        if character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Options {
        Wrapper::parse_from(["events"].iter().chain(words)).options
    }

    const DENIED: &str = r#"{"process_lsm":{"process":{"pid":42,"binary":"/usr/bin/cat","arguments":"/etc/shadow"},"parent":{},"function_name":"file_open","policy_name":"p","args":[{"file_arg":{"path":"/etc/shadow","permission":"-rw-r-----"}}],"action":"KPROBE_ACTION_OVERRIDE"},"node_name":"n","time":"2026-11-23T19:20:02Z","lictor":{"verdict":"deny","errno":-1,"revision":1,"rule":"spec.lsmhooks[0].selectors[0]"}}"#;

    fn compact_of(text: &str) -> String {
        shown(&options(&[]), text.as_bytes(), false).unwrap().into_owned()
    }

    const LOADED: &str = r#"{"process_loader":{"process":{"pid":42,"binary":"/usr/bin/cat"},"path":"/usr/lib/libc.so.6","buildid":"AQL+","parent":{}},"node_name":"n","time":"t","lictor":{"policy_name":"p","revision":1,"rule":"spec.loader"}}"#;

    #[test]
    fn a_loaded_file_is_shown_with_its_build_id() {
        let line = |words: &[&str]| shown(&options(words), LOADED.as_bytes(), false).map(Cow::into_owned);
        assert_eq!(
            line(&["-o", "compact"]).unwrap(),
            "load          42 /usr/bin/cat /usr/lib/libc.so.6 0102fe p"
        );
        assert!(line(&["--policy", "p"]).is_some() && line(&["--policy", "q"]).is_none());
        assert!(line(&["--event-types", "loader"]).is_some() && line(&["--event-types", "lsm"]).is_none());
    }

    #[test]
    fn lines_say_what_happened() {
        assert_eq!(
            compact_of(DENIED),
            "denied        42 /usr/bin/cat /etc/shadow file_open /etc/shadow errno -1 p"
        );
        let monitored = DENIED.replace("\"lictor\":{", "\"lictor\":{\"mode\":\"monitor\",");
        assert!(compact_of(&monitored).starts_with("monitor "), "{}", compact_of(&monitored));
        assert!(compact_of(&monitored).contains("(would deny with errno -1)"));
        assert_eq!(
            compact_of(r#"{"process_exit":{"process":{"pid":1,"binary":"/bin/a"},"signal":"SIGKILL"}}"#),
            "exit           1 /bin/a SIGKILL"
        );
        assert_eq!(
            compact_of(
                r#"{"process_tracepoint":{"process":{"pid":1},"subsys":"s","event":"e","args":[{"long_arg":"-3"},{"bytes_arg":"YWI="},{"error_arg":{"Message":"no"}}]}}"#
            ),
            "event          1 ? s/e -3 2 bytes <no>"
        );
        assert_eq!(
            compact_of(
                r#"{"rate_limit_info":{"number_of_dropped_process_events":"7"},"lictor":{"lost":{"lsm/x":"7"}}}"#
            ),
            "LOST     7 events lsm/x 7"
        );
    }

    #[test]
    fn stacks_stand_below_the_line_when_asked_for() {
        let event = r#"{"process_kprobe":{"process":{"pid":1,"binary":"/bin/a"},"function_name":"f",
            "kernel_stack_trace":[{"address":"18446744071578845184","symbol":"f"},{"offset":"16","symbol":"g","module":"tun"}],
            "user_stack_trace":[{"offset":"4096","module":"/lib/c\u001b"},{}]},"lictor":{}}"#;
        let line = "event          1 /bin/a f";
        assert_eq!(compact_of(event), line);
        let shown_with =
            |event: &str| shown(&options(&["--stack-traces"]), event.as_bytes(), false).unwrap().into_owned();
        let expected = [
            line,
            "    kernel   0xffffffff81000000 f+0x0",
            "    kernel   g+0x10 tun",
            "    program  /lib/c\\u{1b}+0x1000",
            "    program  ?",
        ];
        assert_eq!(shown_with(event), expected.join("\n"));
        let event = r#"{"process_lsm":{"process":{"pid":1,"binary":"/bin/a"},"function_name":"f"},
            "lictor":{"kernel_stack_trace":[{"symbol":"f"}],"failed_stacks":["user_stack_trace"]}}"#;
        let expected = [line, "    kernel   f+0x0", "    user_stack_trace could not be taken"];
        assert_eq!(shown_with(event), expected.join("\n"));
    }

    #[test]
    fn filters_choose_events_and_never_hide_gaps() {
        let passes = |words: &[&str], text: &str| shown(&options(words), text.as_bytes(), false).is_some();
        assert!(passes(&["--process", "cat"], DENIED));
        assert!(passes(&["--process", "sh", "--process", "/usr/bin/cat"], DENIED));
        assert!(!passes(&["--process", "ca"], DENIED));
        assert!(passes(&["--policy", "p", "-e", "lsm,exit"], DENIED));
        assert!(passes(&["-e", "PROCESS_LSM"], DENIED));
        assert!(!passes(&["--policy", "q"], DENIED));
        assert!(!passes(&["-e", "exec"], DENIED));
        let gap = r#"{"rate_limit_info":{"number_of_dropped_process_events":"7"}}"#;
        assert!(passes(&["--policy", "q", "--process", "x"], gap));
        assert!(!passes(&["-e", "exec"], gap));
    }

    #[test]
    fn json_lines_are_left_as_they_are() {
        let text = shown(&options(&["-o", "json"]), DENIED.as_bytes(), true).unwrap();
        assert_eq!(text, DENIED);
    }

    #[test]
    fn terminals_are_not_told_what_to_do() {
        let hostile = DENIED.replace("\"/etc/shadow\"", "\"\\u001b[2J\\u202ex\"");
        let text = compact_of(&hostile);
        assert!(text.contains("\\u{1b}[2J\\u{202e}x"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(compact_of("not json \u{1b}"), "not json \\u{1b}");
    }

    #[test]
    fn colours_are_there_only_when_wanted() {
        let coloured = shown(&options(&[]), DENIED.as_bytes(), true).unwrap();
        assert!(coloured.contains("\u{1b}["));
        assert_eq!(cut("abc", 2), "ab\u{2026}");
        assert_eq!(cut("ab", 2), "ab");
    }
}
