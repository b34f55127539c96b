use super::allow_list::{AllowList, AllowListError, Wish};
use super::cases;
use super::line::{Line, parse};
use super::replay::{Lack, Replayer};
use crate::load;
use crate::model::Policy;

const POLICY: &str = "apiVersion: lictor.io/v1alpha1
kind: TracingPolicy
metadata: {name: keys}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - label: backup
      matchBinaries: [{operator: In, values: [/usr/bin/backup]}]
      matchArgs: [{index: 0, operator: Prefix, values: [/srv/keys/]}]
      matchActions: [{action: NoPost}]
    - label: others
      matchArgs: [{index: 0, operator: Prefix, values: [/srv/keys/]}]
      matchActions: [{action: Override, argError: -13}]
";

fn policy(text: &str) -> Policy {
    load(text, None).unwrap().policy
}

fn run(cases_text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let suite = cases::read(cases_text, Some("keys.test.yaml")).map_err(|wrong| wrong.to_string())?;
    let outcomes = suite.run(&[policy(POLICY)]).map_err(|wrong| wrong.to_string())?;
    Ok(outcomes.into_iter().map(|case| (case.name, case.failures)).collect())
}

fn case(event: &str, expect: &str) -> String {
    format!("cases:\n- name: x\n  event: {event}\n  expect: {expect}\n")
}

const OTHER: &str =
    "{lsmhook: file_open, args: [{index: 0, value: /srv/keys/a}], process: {binary: /bin/sh}}";

fn failures(event: &str, expect: &str) -> Vec<String> {
    run(&case(event, expect)).unwrap().remove(0).1
}

#[test]
fn cases_pass_and_fail_for_what_they_expect() {
    let none: [&str; 0] = [];
    assert_eq!(
        failures(OTHER, "{verdict: deny, signal: none, reports: [{policy: keys, selector: others}]}"),
        none
    );
    assert_eq!(
        failures(
            OTHER,
            "{verdict: -13, reports: [{selector: 'spec.lsmhooks[0].selectors[1]', unresolved: false}]}"
        ),
        none
    );
    let backup = OTHER.replace("/bin/sh", "/usr/bin/backup");
    assert_eq!(failures(&backup, "{verdict: allow, reports: []}"), none);
    let unread = OTHER.replace("value: /srv/keys/a", "unresolved: true");
    assert_eq!(failures(&unread, "{verdict: deny, reports: [{selector: others, unresolved: true}]}"), none);
    let pipe = OTHER.replace(", value: /srv/keys/a", "");
    assert_eq!(failures(&pipe, "{verdict: allow, reports: []}"), none);
    assert_eq!(
        failures(OTHER, "{verdict: allow, signal: SIGKILL, reports: [{selector: backup}]}"),
        [
            "verdict: expected allow, found deny with -13",
            "signal: expected 9, found none",
            "report: expected a report by backup, which did not come",
            "report: found keys spec.lsmhooks[0].selectors[1], which is not expected",
        ]
    );
    assert_eq!(failures(OTHER, "{verdict: -1}"), ["verdict: expected deny with -1, found deny with -13"]);
}

#[test]
fn cases_that_prove_nothing_are_refused() {
    let wrong = |event: &str, expect: &str| run(&case(event, expect)).unwrap_err();
    let cases = [
        (
            OTHER,
            "{}",
            "keys.test.yaml:4: cases[0].expect: found nothing that is expected; allowed: at least one of verdict, signal, reports",
        ),
        (
            OTHER,
            "{verdict: denied}",
            "keys.test.yaml:4: cases[0].expect.verdict: found `denied`; allowed: allow, deny, or an errno from -4095 to -1",
        ),
        (
            OTHER,
            "{signal: SIGKIL}",
            "keys.test.yaml:4: cases[0].expect.signal: found `SIGKIL`; allowed: none, SIGKILL, or a number from 1 to 64",
        ),
        (
            "{lsmhook: file_open, process: {binary: /x}}",
            "{verdict: allow}",
            "keys.test.yaml:3: cases[0].event.args: found nothing for argument 0; allowed: a value, since a selector asks for it",
        ),
        (
            "{lsmhook: file_open, args: [{index: 0, value: /x}]}",
            "{verdict: allow}",
            "keys.test.yaml:3: cases[0].event.process.binary: found nothing; allowed: a value, since a selector asks for it",
        ),
        (
            "{lsmhook: path_link}",
            "{verdict: allow}",
            "keys.test.yaml:3: cases[0].event: found a place that no tested policy hooks; allowed: the place of one of their hooks",
        ),
        (
            "{lsmhook: a, kprobe: b}",
            "{verdict: allow}",
            "keys.test.yaml:3: cases[0].event: found 2 places; allowed: exactly one of lsmhook, kprobe, syscall, tracepoint, uprobe, usdt, loader, line",
        ),
        (
            OTHER,
            "{reports: [{policy: kees}]}",
            "keys.test.yaml:4: cases[0].expect.reports[0].policy: found `kees`; allowed: keys",
        ),
        (
            "{line: '{}'}",
            "{verdict: allow}",
            "keys.test.yaml:3: cases[0].event.line: found JSON that is no event line; allowed: an event line",
        ),
    ];
    for (event, expect, message) in cases {
        assert_eq!(wrong(event, expect), message);
    }
}

#[test]
fn cases_that_cannot_be_read_are_refused() {
    let wrong = |event: &str, expect: &str| run(&case(event, expect)).unwrap_err();
    let twice = format!(
        "{}{}",
        case(OTHER, "{verdict: deny}"),
        case(OTHER, "{verdict: deny}").replace("cases:\n", "")
    );
    assert!(run(&twice).unwrap_err().contains("`x` a second time"));
    assert!(run("cases: []\n").unwrap_err().contains("no case"));
    let unknown = run(&case(OTHER, "{verdct: deny}")).unwrap_err();
    assert!(
        unknown.contains("the unknown field `verdct`") && unknown.contains("did you mean `verdict`"),
        "{unknown}"
    );
    let capability = OTHER
        .replace("binary: /bin/sh", "binary: /bin/sh, capabilities: [CAP_SYS_ADMN], namespaces: {Mount: 1}");
    let wrong = wrong(&capability, "{verdict: deny}");
    assert!(
        wrong.contains("did you mean `CAP_SYS_ADMIN`") && wrong.contains("`Mount`; allowed: Uts, Ipc, Mnt"),
        "{wrong}"
    );
}

fn line(binary: &str, pid: u32, path: &str, rule: usize, denied: bool) -> String {
    let verdict = if denied { "\"verdict\":\"deny\",\"errno\":-13," } else { "" };
    format!(
        "{{\"process_lsm\":{{\"process\":{{\"exec_id\":\"e{pid}\",\"pid\":{pid},\"binary\":\"{binary}\"}},\"function_name\":\"file_open\",\
         \"policy_name\":\"keys\",\"args\":[{{\"file_arg\":{{\"path\":\"{path}\"}}}}]}},\"time\":\"t\",\
         \"lictor\":{{{verdict}\"revision\":1,\"rule\":\"spec.lsmhooks[0].selectors[{rule}]\"}}}}"
    )
}

#[test]
fn a_recorded_event_is_a_case() {
    let event = format!("{{line: '{}'}}", line("/bin/sh", 7, "/srv/keys/a", 1, true));
    assert_eq!(failures(&event, "{verdict: deny}"), [""; 0]);
    let event = format!("{{line: '{}'}}", line("/usr/bin/backup", 7, "/srv/keys/a", 1, true));
    assert_eq!(failures(&event, "{verdict: deny}"), ["verdict: expected deny, found allow"]);
}

const LOADER: &str =
    "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: loads}\nspec: {loader: true}\n";

fn loaded(path: &str) -> String {
    format!(
        "{{\"process_loader\":{{\"process\":{{\"exec_id\":\"e7\",\"pid\":7,\"binary\":\"/bin/sh\"}},\"path\":\"{path}\",\
         \"buildid\":\"AQI=\"}},\"time\":\"t\",\"lictor\":{{\"policy_name\":\"loads\",\"revision\":1,\"rule\":\"spec.loader\"}}}}"
    )
}

#[test]
fn recorded_files_are_judged_as_they_were_mapped() {
    let loads = policy(LOADER);
    let pods = policy(&LOADER.replace("{loader: true}", "{loader: true, podSelector: {}}"));
    let asked = policy(&LOADER.replace("loader: true", "lsmhooks: [{hook: mmap_file}]"));
    let replay = |policy: &Policy| {
        let mut replayer = Replayer::new(std::slice::from_ref(policy), &[]);
        for line in &lines(&[loaded("/lib/libc.so.6"), line("/bin/sh", 7, "/lib/libc.so.6", 0, false)]) {
            replayer.take(line);
        }
        let found = replayer.finish();
        let fired: u64 = found.rules.values().map(|count| count.reported).sum();
        (found.events, found.elsewhere, found.quiet, fired)
    };
    assert_eq!(replay(&loads), (2, 1, 0, 1));
    assert_eq!(replay(&pods), (2, 1, 1, 0), "a process of no pod");
    assert_eq!(replay(&asked), (2, 2, 0, 0), "what the hook is asked with is not all told");
    let mut list = AllowList::new(
        Wish { name: "x".into(), binary: "/bin/sh".into(), fold: 3 },
        std::slice::from_ref(&loads),
    );
    list.take(&parse(&loaded("/lib/libc.so.6")).unwrap());
    assert_eq!(list.policy().unwrap_err(), AllowListError::Nothing("/bin/sh".into()));
}

fn lines(texts: &[String]) -> Vec<Line> {
    texts.iter().map(|text| parse(text).unwrap()).collect()
}

#[test]
fn a_replay_tells_what_changes() {
    let old = policy(POLICY);
    let new = policy(&POLICY.replace(
        "/srv/keys/]}]\n      matchActions: [{action: Override",
        "/srv/keys/s]}]\n      matchActions: [{action: Override",
    ));
    let events = lines(&[
        line("/bin/sh", 7, "/srv/keys/a", 1, true),
        line("/bin/sh", 7, "/srv/keys/secret", 1, false),
        line("/usr/bin/backup", 8, "/srv/keys/a", 0, false),
        line("/bin/sh", 7, "/srv/keys/secret", 1, true).replace("file_open", "path_link"),
        line("/bin/sh", 7, "/x", 1, true).replace("file_arg", "cred_arg"),
        "{\"process_exit\":{}}".to_owned(),
    ]);
    let mut replayer = Replayer::new(std::slice::from_ref(&new), std::slice::from_ref(&old));
    for line in &events {
        replayer.take(line);
    }
    let found = replayer.finish();
    assert_eq!((found.events, found.elsewhere, found.quiet), (5, 1, 1));
    assert_eq!((found.newly_denied, found.newly_allowed), (1, 1));
    assert_eq!(found.examples, ["7 /bin/sh file_open /srv/keys/secret"]);
    assert_eq!(found.undecided.get(&Lack::Argument), Some(&1));
    let count = |selector: &str| {
        &found.rules[&("keys".to_owned(), format!("spec.lsmhooks[0].selectors[{selector}]"))]
    };
    assert_eq!((count("0").fired, count("0").reported), (1, 0));
    assert_eq!((count("1").fired, count("1").reported, count("1").denied), (1, 1, 1));
}

#[test]
fn what_was_not_recorded_is_not_guessed() {
    let more = POLICY.replace(
        "matchBinaries: [{operator: In, values: [/usr/bin/backup]}]",
        "matchCapabilities: [{operator: In, values: [CAP_SYS_ADMIN]}]",
    );
    let new = policy(&more);
    let mut replayer = Replayer::new(std::slice::from_ref(&new), &[]);
    for line in &lines(&[line("/bin/sh", 7, "/srv/keys/a", 1, true)]) {
        replayer.take(line);
    }
    let found = replayer.finish();
    assert_eq!(found.undecided.get(&Lack::Capabilities), Some(&1));
    assert_eq!(found.newly_allowed, 0);
}

#[test]
fn an_allow_list_holds_what_was_seen_and_denies_the_rest() {
    let reported = policy(&POLICY.replace("/srv/keys/", "/"));
    let wish = |fold| Wish { name: "allow-sh".into(), binary: "/bin/sh".into(), fold };
    let mut texts: Vec<String> =
        (0..4).map(|number| line("/bin/sh", 7, &format!("/data/{number}"), 1, false)).collect();
    texts.extend([line("/bin/sh", 7, "/etc/a b: #c", 1, false), line("/bin/sh", 7, "/data/0", 1, false)]);
    texts.push(line("/bin/other", 8, "/etc/other", 1, false));
    texts.push(
        "{\"process_exec\":{\"process\":{\"binary\":\"/bin/ls\"},\"parent\":{\"binary\":\"/bin/sh\"}}}"
            .to_owned(),
    );
    let events = lines(&texts);
    let mut list = AllowList::new(wish(3), std::slice::from_ref(&reported));
    for line in &events {
        list.take(line);
    }
    let text = list.policy().unwrap();
    assert!(text.contains("        - /data/  # 5 times, 4 paths\n"), "{text}");
    assert!(text.contains("        - \"/etc/a b: #c\"  # once\n"), "{text}");
    assert!(text.contains("        - /bin/ls  # once\n") && !text.contains("/etc/other"), "{text}");
    let made = policy(&text.replace("mode: monitor", "mode: enforce"));
    let mut replayer = Replayer::new(std::slice::from_ref(&made), std::slice::from_ref(&reported));
    for line in &events {
        replayer.take(line);
    }
    let found = replayer.finish();
    assert_eq!((found.events, found.quiet, found.newly_denied), (7, 7, 0));
    let mut replayer = Replayer::new(std::slice::from_ref(&made), std::slice::from_ref(&reported));
    for line in &lines(&[line("/bin/sh", 7, "/etc/shadow", 1, false)]) {
        replayer.take(line);
    }
    assert_eq!(replayer.finish().newly_denied, 1);
    let nothing = AllowList::new(wish(3), &[]).policy().unwrap_err();
    assert_eq!(nothing, AllowListError::Nothing("/bin/sh".into()));
}

#[test]
fn lines_of_the_node_worker_are_understood() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../node-worker/testdata/event-lines.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut hooks, mut execs) = (0, 0);
    for line in text.lines().filter_map(|line| line.split_once('\t')) {
        match parse(line.1).unwrap_or_else(|found| panic!("{}: {found}", line.0)) {
            Line::Hook(event) => {
                hooks += 1;
                assert_eq!(event.process.pid, 291, "{}", line.0);
                assert!(event.process.namespaces.as_ref().unwrap().len() == 10, "{}", line.0);
                assert_ne!(
                    event.process.capabilities.as_ref().unwrap().values().sum::<u64>() & 2,
                    0,
                    "{}",
                    line.0
                );
            }
            Line::Exec { .. } => execs += 1,
            Line::Other => {}
        }
    }
    assert!(hooks >= 3 && execs >= 2, "{hooks} {execs}");
}

proptest::proptest! {
    #[test]
    fn any_line_is_survived(text in "[\\{\\}\\[\\]\":,a-z0-9_]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_file_of_cases_is_survived(text in "(cases:|- |name: |event: |expect: |line: |\\{|\\}|args: |[a-z0-9 ]|\n){0,40}") {
        let _ = cases::read(&text, None);
    }
}

#[test]
fn values_that_are_only_shown_stand_beside_those_that_are_compared() {
    let text = "apiVersion: lictor.io/v1alpha1
kind: TracingPolicy
metadata: {name: caps}
spec:
  kprobes:
  - call: cap_capable
    syscall: false
    args: [{index: 0, type: cred}, {index: 1, type: user_namespace}, {index: 2, type: capability}]
    selectors:
    - matchArgs: [{index: 2, operator: Equal, values: [CAP_SYS_ADMIN]}]
";
    let policy = policy(text);
    let line = r#"{"process_kprobe":{"process":{"exec_id":"x","pid":7,"binary":"/bin/sh"},"function_name":"cap_capable",
        "args":[{"process_credentials_arg":{"uid":0}},{"user_ns_arg":{"level":0}},{"capability_arg":{"value":21}}],
        "action":"KPROBE_ACTION_POST","policy_name":"caps"}}"#;
    let line = parse(line).unwrap();
    let mut replayer = Replayer::new(std::slice::from_ref(&policy), std::slice::from_ref(&policy));
    replayer.take(&line);
    let found = replayer.finish();
    assert!(found.undecided.is_empty(), "{found:?}");
    assert_eq!(found.rules[&("caps".to_owned(), "spec.kprobes[0].selectors[0]".to_owned())].reported, 1);
    let wish = Wish { name: "list".to_owned(), binary: "/bin/sh".to_owned(), fold: 9 };
    let mut list = AllowList::new(wish, std::slice::from_ref(&policy));
    list.take(&line);
    assert_eq!(list.unknown().count(), 0);
    let given = |value: &str| {
        let text = case(
            &format!(
                "{{kprobe: cap_capable, args: [{{index: 1, value: {value}}}, {{index: 2, value: CAP_SYS_ADMIN}}]}}"
            ),
            "{reports: [{}]}",
        );
        let suite = cases::read(&text, Some("caps.test.yaml")).unwrap();
        suite.run(std::slice::from_ref(&policy)).map_err(|wrong| wrong.to_string())
    };
    assert_eq!(
        given("x").unwrap_err(),
        "caps.test.yaml:3: cases[0].event.args[0].value: found a value of type user_namespace; allowed: none: values of this \
         type are shown, no filter asks about them"
    );
}
