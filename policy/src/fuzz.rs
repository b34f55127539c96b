//! Any text through the whole of `check`: parsing, validation, advice, compiling for the made-up node. Nothing may
//! panic, take long, or be refused without a reason.
//!
//! `LICTOR_FUZZ_SECONDS` says how long; the inputs follow from a seed, so a failure comes again.

use crate::oracle::generate::Random;
use crate::plan::testing::facts;
use crate::plan::{NodeFacts, compile};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one text may take: a full document takes a second on a slow machine that does other things, too.
const TEXT_SECONDS_MAX: u64 = 30;

/// Words that lead into corners.
const WORDS: [&str; 43] = [
    "&a ",
    "*a",
    "<<: ",
    "- ",
    "  ",
    "\n",
    "\t",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "!!str ",
    "null",
    "~",
    "true",
    "-1",
    "0x",
    "9999999999999999999999",
    "1:2",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "list:x",
    "matchArgs:",
    "index: 0",
    "operator: Equal",
    "operator: Mask",
    "operator: InRange",
    "operator: CelExpr",
    "arg0 == (",
    "args: [0, 1]",
    "values: [",
    "action: Override",
    "argError: -1",
    "type: string",
    "type: file",
    "return: true",
    "security_file_open",
];

fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut texts = Vec::new();
    for directory in ["accept", "reject"] {
        let mut paths: Vec<_> =
            fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort_unstable();
        let yaml =
            paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        texts.extend(yaml.map(|path| fs::read_to_string(path).unwrap()));
    }
    assert!(texts.len() > 200, "{}", texts.len());
    texts
}

/// A text of the corpus, changed at a few places.
fn changed(texts: &[String], random: &mut Random) -> String {
    let mut text: Vec<char> = texts[random.below(texts.len())].chars().collect();
    for _ in 0..=random.below(5) {
        let from = random.below(text.len() + 1);
        let to = (from + random.below(40)).min(text.len());
        match random.below(6) {
            0 => drop(text.drain(from..to)),
            1 => {
                let part: Vec<char> = text[from..to].to_vec();
                let many = 1 + random.below(50);
                text.splice(from..from, part.repeat(many));
            }
            2 => {
                let other: Vec<char> = texts[random.below(texts.len())].chars().collect();
                let begin = random.below(other.len() + 1);
                let end = (begin + random.below(200)).min(other.len());
                text.splice(from..to, other[begin..end].iter().copied());
            }
            3 => {
                if let Some(letter) = char::from_u32(random.below(0x11_0000) as u32) {
                    text.insert(from, letter);
                }
            }
            _ => drop(text.splice(from..from, random.pick(&WORDS).chars())),
        }
    }
    text.into_iter().collect()
}

fn check(text: &str, facts: &NodeFacts, accepted: &mut usize) {
    let begin = Instant::now();
    match crate::load(text, Some("x.yaml")) {
        Ok(loaded) => {
            *accepted += 1;
            let compiled = compile(std::slice::from_ref(&loaded.policy), facts);
            assert!(compiled.refusals.iter().all(|refusal| !refusal.found.is_empty()), "{text:?}");
        }
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason: {text:?}");
            assert!(violations.len() <= 101, "{} violations: {text:?}", violations.len());
            for violation in &violations {
                assert!(
                    !violation.to_string().contains('\n') && violation.to_string().len() < 4096,
                    "{violation}"
                );
            }
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(TEXT_SECONDS_MAX), "{:?}: {text:?}", begin.elapsed());
    let _ = crate::convert(text);
    let _ = crate::trial::cases::read(text, None);
}

#[test]
fn any_text_is_checked() {
    let seconds = std::env::var("LICTOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (texts, facts) = (corpus(), facts());
    let (mut count, mut accepted) = (0_u64, 0);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut random = Random::new(count);
        let text = changed(&texts, &mut random);
        check(&text, &facts, &mut accepted);
        count += 1;
    }
    println!("{count} texts, {accepted} accepted");
    assert!(count > 20 && accepted > 0, "{count} texts, {accepted} accepted");
}
