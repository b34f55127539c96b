use super::*;
use crate::testing::policy;

fn text(name: &str, call: &str) -> FileRead {
    FileRead::Text(policy(name, call))
}

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: None, name: name.to_owned() }
}

fn names(attempt: &Attempt) -> Vec<String> {
    attempt.policies().iter().map(|policy| policy.key().to_string()).collect()
}

fn states(set: &PolicySet) -> Vec<(String, FileState, usize)> {
    set.status().into_iter().map(|status| (status.file, status.state, status.reasons.len())).collect()
}

fn live_set(files: &[(&str, &str)]) -> PolicySet {
    let mut set = PolicySet::default();
    for (file, name) in files {
        assert!(set.apply(file, text(name, "fd_install")));
    }
    let attempt = set.attempt();
    set.settle(attempt);
    set
}

#[test]
fn a_file_goes_live_and_away() {
    let mut set = live_set(&[("a.yaml", "a"), ("b.yaml", "b")]);
    assert_eq!(
        states(&set),
        [("a.yaml".to_owned(), FileState::Live, 0), ("b.yaml".to_owned(), FileState::Live, 0)]
    );
    assert!(set.delete("a.yaml"));
    assert!(!set.delete("a.yaml"));
    let attempt = set.attempt();
    assert_eq!(names(&attempt), ["b"]);
    // Until that is live, the policy still is.
    assert_eq!(set.status().len(), 2);
    assert!(set.status()[0].reasons[0].contains("deleted"));
    set.settle(attempt);
    assert_eq!(states(&set), [("b.yaml".to_owned(), FileState::Live, 0)]);
}

#[test]
fn the_same_text_is_no_change() {
    let mut set = live_set(&[("a.yaml", "a")]);
    assert!(!set.apply("a.yaml", text("a", "fd_install")));
    assert!(set.apply("a.yaml", text("a", "vfs_read")));
    assert!(set.apply("a.yaml", text("a", "fd_install")));
}

#[test]
fn a_broken_version_keeps_the_last_live_one() {
    let mut set = live_set(&[("a.yaml", "a")]);
    assert!(set.apply("a.yaml", FileRead::Text("kind: Nonsense".into())));
    let attempt = set.attempt();
    assert_eq!(names(&attempt), ["a"]);
    set.settle(attempt);
    let status = &set.status()[0];
    assert_eq!(status.state, FileState::Stale);
    assert!(!status.reasons.is_empty());
    assert!(status.version.as_ref().unwrap().text.contains("fd_install"));
    // Put right again, with the text that is live.
    assert!(set.apply("a.yaml", text("a", "fd_install")));
    assert_eq!(set.status()[0].state, FileState::Live);
}

#[test]
fn an_unreadable_file_keeps_the_last_live_version() {
    let mut set = live_set(&[("a.yaml", "a")]);
    set.apply("a.yaml", FileRead::Unreadable("permission denied".into()));
    assert_eq!(names(&set.attempt()), ["a"]);
    assert_eq!(states(&set), [("a.yaml".to_owned(), FileState::Stale, 1)]);
}

#[test]
fn a_broken_new_file_is_rejected_and_the_others_work() {
    let mut set = live_set(&[("a.yaml", "a")]);
    set.apply("b.yaml", FileRead::Text(String::new()));
    let attempt = set.attempt();
    assert_eq!(names(&attempt), ["a"]);
    set.settle(attempt);
    assert_eq!(set.status()[1].state, FileState::Rejected);
    assert!(set.status()[1].reasons[0].contains("b.yaml"), "{:?}", set.status()[1].reasons);
}

#[test]
fn of_two_new_files_with_one_name_the_first_wins() {
    let mut set = live_set(&[("a.yaml", "same"), ("b.yaml", "same")]);
    let status = set.status();
    assert_eq!((status[0].state, status[1].state), (FileState::Live, FileState::Rejected));
    assert!(status[1].reasons[0].contains("a.yaml has the same name"), "{:?}", status[1].reasons);
    assert_eq!(status[0].warnings, ["b.yaml has the same name `same` and is not used"]);
    // The name is free again.
    set.delete("a.yaml");
    let attempt = set.attempt();
    set.settle(attempt);
    assert_eq!(states(&set), [("b.yaml".to_owned(), FileState::Live, 0)]);
}

#[test]
fn a_new_file_does_not_displace_a_live_policy() {
    let mut set = live_set(&[("b.yaml", "same")]);
    set.apply("a.yaml", text("same", "vfs_read"));
    let attempt = set.attempt();
    assert_eq!(attempt.policies()[0], set.live().next().unwrap().1.policy);
    assert_eq!(attempt.policies().len(), 1);
    assert!(attempt.new_keys().is_empty());
    set.settle(attempt);
    let status = set.status();
    assert_eq!((status[0].state, status[1].state), (FileState::Rejected, FileState::Live));
    assert!(status[0].reasons[0].contains("b.yaml has the same name"), "{:?}", status[0].reasons);
    assert_eq!(status[1].warnings, ["a.yaml has the same name `same` and is not used"]);
    // The live one changes and keeps its name; broken, it keeps its last version.
    set.apply("b.yaml", text("same", "vfs_write"));
    let attempt = set.attempt();
    assert_eq!(attempt.new_keys(), [key("same")]);
    set.settle(attempt);
    assert_eq!(set.status()[1].state, FileState::Live);
    set.apply("b.yaml", FileRead::Text("broken".into()));
    let attempt = set.attempt();
    set.settle(attempt);
    assert_eq!((set.status()[0].state, set.status()[1].state), (FileState::Rejected, FileState::Stale));
}

#[test]
fn a_file_that_takes_a_name_of_another_keeps_what_is_live() {
    let mut set = live_set(&[("a.yaml", "one"), ("b.yaml", "two")]);
    set.apply("a.yaml", text("two", "vfs_read"));
    let mut attempt = set.attempt();
    assert_eq!(names(&attempt), ["one", "two"]);
    assert!(attempt.new_keys().is_empty());
    set.settle(attempt.clone());
    assert_eq!((set.status()[0].state, set.status()[1].state), (FileState::Stale, FileState::Live));
    assert!(set.status()[0].reasons[0].contains("b.yaml has the same name"));
    // What was kept so can be refused too.
    assert!(!attempt.refuse(&key("one"), Cause::Unsupported, &["gone".into()]));
    assert_eq!(names(&attempt), ["two"]);
    // Both change their names at once: nobody is in the way.
    set.apply("b.yaml", text("one", "vfs_read"));
    let attempt = set.attempt();
    assert_eq!(names(&attempt), ["two", "one"]);
    set.settle(attempt);
    assert!(set.status().iter().all(|status| status.state == FileState::Live));
}

#[test]
fn a_name_goes_on_when_its_first_file_is_refused() {
    let mut set = PolicySet::default();
    set.apply("a.yaml", text("same", "no_such_function"));
    set.apply("b.yaml", text("same", "fd_install"));
    let mut attempt = set.attempt();
    assert!(!attempt.refuse(&key("same"), Cause::Unsupported, &["no such function".into()]));
    assert_eq!(names(&attempt), ["same"]);
    set.settle(attempt);
    assert_eq!((set.status()[0].state, set.status()[1].state), (FileState::Rejected, FileState::Live));
}

#[test]
fn a_refused_version_falls_back_to_the_live_one() {
    let mut set = live_set(&[("a.yaml", "a")]);
    set.apply("a.yaml", text("a", "no_such_function"));
    set.apply("b.yaml", text("b", "no_such_function"));
    let mut attempt = set.attempt();
    assert_eq!(attempt.new_keys(), [key("a"), key("b")]);
    assert!(attempt.refuse(&key("a"), Cause::Unsupported, &["no such function".into()]));
    assert!(!attempt.refuse(&key("b"), Cause::Unsupported, &["no such function".into()]));
    assert!(attempt.new_keys().is_empty());
    assert_eq!(names(&attempt), ["a"]);
    assert!(attempt.policies()[0].hooks()[0].at.as_str().contains("kprobes[0]"));
    set.settle(attempt);
    assert_eq!(
        states(&set),
        [("a.yaml".to_owned(), FileState::Stale, 1), ("b.yaml".to_owned(), FileState::Rejected, 1)]
    );
    // The refusal is forgotten with the version that it was about.
    set.apply("b.yaml", text("b", "fd_install"));
    assert_eq!(set.status()[1].state, FileState::Pending);
}

#[test]
fn a_live_version_that_is_refused_is_left_out() {
    let set = live_set(&[("a.yaml", "a")]);
    let mut attempt = set.attempt();
    assert!(!attempt.refuse(&key("a"), Cause::Unsupported, &["gone".into()]));
    assert!(names(&attempt).is_empty());
}

#[test]
fn restored_versions_are_live_until_their_files_say_otherwise() {
    let mut set = PolicySet::default();
    set.restore("a.yaml", policy("a", "fd_install"));
    set.restore("b.yaml", "not a policy any more".into());
    assert_eq!(set.live().map(|(file, _)| file.to_owned()).collect::<Vec<_>>(), ["a.yaml"]);
    assert_eq!(names(&set.attempt()), ["a"]);
    set.apply("a.yaml", FileRead::Text("broken".into()));
    assert_eq!(set.status()[0].state, FileState::Stale);
    set.delete("a.yaml");
    assert!(names(&set.attempt()).is_empty());
}

#[test]
fn the_order_of_changes_does_not_matter() {
    let changes = [("a.yaml", "x"), ("b.yaml", "x"), ("c.yaml", "z")];
    let mut forwards = PolicySet::default();
    let mut backwards = PolicySet::default();
    for (file, name) in changes {
        forwards.apply(file, text(name, "fd_install"));
    }
    for (file, name) in changes.iter().rev() {
        backwards.apply(file, text(name, "fd_install"));
    }
    assert_eq!(forwards.attempt().policies(), backwards.attempt().policies());
    assert_eq!(forwards.status(), backwards.status());
}

/// A machine without a cluster has no labels: a policy for some nodes may not be for it.
#[test]
fn a_policy_for_some_nodes_is_refused() {
    let mut set = PolicySet::default();
    let text = "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: a}\nspec:\n  \
                nodeSelector: {matchLabels: {pool: x}}\n  kprobes: [{call: fd_install, syscall: false}]\n";
    set.apply("a.yaml", FileRead::Text(text.to_owned()));
    let status = set.status().remove(0);
    assert_eq!(status.state, FileState::Rejected);
    let reason = "a.yaml: spec.nodeSelector: found a selector of nodes; allowed: none on a machine that is in no cluster";
    assert!(status.reasons[0].starts_with(reason), "{:?}", status.reasons);
    // Everywhere is everywhere.
    set.apply("a.yaml", FileRead::Text(text.replace("{matchLabels: {pool: x}}", "{}")));
    assert_eq!(set.status().remove(0).state, FileState::Pending);
}
