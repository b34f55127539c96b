use super::*;

fn policy(file: &str, events: &[&str], none: Option<&str>) -> Policy {
    let trigger = Trigger {
        round: 1,
        file: format!("{file}.yaml"),
        commands: Vec::new(),
        events: events.iter().map(|&event| event.to_owned()).collect(),
        refused: None,
        none: none.map(str::to_owned),
    };
    Policy { trigger, name: file.to_owned(), text: String::new() }
}

#[test]
fn each_policy_has_its_hook_points_or_its_refusal() {
    let point = |hook_point: &str, policies: &[&str]| HookPoint {
        hook_point: hook_point.to_owned(),
        rules: policies.iter().map(|policy| Rule { policy: (*policy).to_owned() }).collect(),
    };
    let explanation = Explanation {
        hook_points: vec![point("lsm/file_open", &["b", "a"]), point("fentry/a", &["a", "a"])],
    };
    let policies = ["a", "b", "c", "d"].map(|file| policy(file, &[], None));
    let refusals = "note: x\n/lab/established/1/c.yaml:7: spec.kprobes[0]: found y\n";
    let found = said(&policies.iter().collect::<Vec<_>>(), &explanation, refusals);
    let found: Vec<String> = found.into_values().collect();
    assert_eq!(
        found,
        [
            "fentry/a, lsm/file_open",
            "lsm/file_open",
            "refused: spec.kprobes[0]: found y",
            "nothing of it is in this kernel",
        ]
    );
    assert_eq!(found.iter().map(|said| is_refused(said)).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn every_policy_that_loads_is_in_one_round_with_a_name_of_its_own() {
    let outcomes = fs::read_to_string(Path::new(DIRECTORY).join("outcomes.expected")).unwrap();
    let mut loading: Vec<&str> =
        outcomes.lines().filter_map(|line| line.strip_suffix(": accepted")).collect();
    let policies = policies().unwrap();
    let mut tried: Vec<&str> = policies.iter().map(|policy| policy.trigger.file.as_str()).collect();
    loading.sort_unstable();
    tried.sort_unstable();
    assert_eq!(tried, loading);
    for of in [|policy: &Policy| policy.name.clone(), Policy::guest_file] {
        let all: BTreeSet<(u32, String)> =
            policies.iter().map(|policy| (policy.trigger.round, of(policy))).collect();
        assert_eq!(all.len(), policies.len());
    }
}

#[test]
fn what_does_not_come_or_should_not_have_come_is_a_failure() {
    let event = |policy: &str, action: &str, exec_id: &str| {
        Normal::read(&format!(
            r#"{{"process_kprobe":{{"process":{{"exec_id":"{exec_id}","binary":"/x","uid":0}},"function_name":"f",
                "policy_name":"{policy}","action":"KPROBE_ACTION_{action}"}}}}"#
        ))
        .unwrap()
    };
    let end = r#"{"process_exit":{"process":{"exec_id":"killed"},"signal":"SIGKILL"}}"#;
    let events = [
        event("p", "POST", "1"),
        event("q", "SIGKILL", "killed"),
        event("r", "SIGKILL", "alive"),
        Normal::read(end).unwrap(),
    ];
    let tried = |name: &str, pattern: &str| policy(name, &[pattern], None).tried(&events);
    let event_of = |trial: Trial| match trial {
        Trial::Events(events) => events.into_iter().next().unwrap(),
        Trial::None(why) => panic!("{why}"),
    };
    let found = event_of(tried("p", "kprobe f [/x] POST *").unwrap());
    assert_eq!((found.place.as_str(), found.ended_by), ("process_kprobe f", None));
    assert_eq!(event_of(tried("q", "kprobe f *").unwrap()).ended_by.as_deref(), Some("SIGKILL"));
    assert!(tried("p", "kprobe g *").unwrap_err().contains("among 1"));
    assert!(tried("s", "*").unwrap_err().contains("among 0"));
    assert!(tried("r", "*").unwrap_err().contains("has not been killed"));
    assert!(policy("p", &[], Some("why")).tried(&events).unwrap_err().contains("there can be no event"));
    assert_eq!(policy("s", &[], Some("why")).tried(&events), Ok(Trial::None("why".to_owned())));
}

#[test]
fn what_the_driver_tells_is_compared_too() {
    let events =
        "1 20 20 999 p:0 lsm/x verdict=-1 signal=9 unresolved=0 a|2\n1 20 20 999 q:0 lsm/y verdict=0 ";
    let found = policy("p", &["lsm/x verdict=-1 signal=9 *a|2"], None).driven(events);
    let Ok(Trial::Events(found)) = found else { panic!("{found:?}") };
    assert_eq!((found[0].place.as_str(), found[0].action.as_str()), ("lsm/x", "verdict=-1 signal=9"));
    assert_eq!(found[0].shows, "a|2");
    assert!(policy("p", &["lsm/y *"], None).driven(events).is_err());
}

#[test]
fn a_refusal_by_the_kernel_is_the_one_that_is_known() {
    let mut refused = policy("p", &[], None);
    refused.trigger.refused = Some(("6.1".to_owned(), "busy".to_owned()));
    assert_eq!(refused.refused_on("6.12", ""), None);
    let status = "p.yaml live\n  /etc/lictor/policies/p.yaml: not live: busy\n";
    assert_eq!(refused.refused_on("6.1", status), Some(Ok(Trial::None("not live: busy".to_owned()))));
    assert!(refused.refused_on("6.1", "p.yaml live\n").unwrap().is_err());
}
