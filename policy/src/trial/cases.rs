//! Tests of policies: given this event, expect this verdict and these reports.

use super::endpoints::{self, GivenEndpoints};
use super::judge_operation;
use super::line::{self, Line, Recorded, Relatives, denies};
use super::outcome::failures;
use super::process::{self, ProcessSpec, host};
use super::target;
use crate::model::{
    Arg, ArgKind, ArgSource, Cast, EndpointsPart, FieldPath, FileType, Hook, HookTarget, MemberPath, Operand,
    Origin, Policy, Predicate,
};
use crate::oracle::{Endpoints, Event, Moment, Reading, Value, same_place};
use crate::parse::{Lines, parse};
use crate::plan::TypeClass;
use crate::spec::{SourceName, decode_as, shape_of};
use crate::validate::{BPF_COMMANDS, CAPABILITIES, FILE_TYPES, file_type, low_bits, parse_number};
use crate::violation::{Violation, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file of test cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestFile {
    /// Policy files that are tested, together, relative to this file. Without it, the file whose name is this one's
    /// without `.test`: `keys.yaml` for `keys.test.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The cases.
    pub cases: Vec<CaseSpec>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseSpec {
    /// What it shows.
    pub name: String,
    /// What the same thread did before, in order, of which `NotifyEnforcer` may have left something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<EventSpec>,
    /// What happens.
    pub event: EventSpec,
    /// What is to come of it.
    pub expect: ExpectSpec,
}

/// Something that happens at one place. Exactly one of `lsmhook`, `kprobe`, `syscall`, `tracepoint`, `uprobe`, `usdt`,
/// `loader`, `line`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventSpec {
    /// An LSM hook: `file_open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsmhook: Option<String>,
    /// A kernel function: `fd_install`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kprobe: Option<String>,
    /// A system call: `sys_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscall: Option<String>,
    /// A tracepoint: `sched/sched_process_exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracepoint: Option<String>,
    /// A function of a program, path and symbol: `/bin/bash:readline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uprobe: Option<String>,
    /// A probe of a program, path, provider and name: `/bin/bash:shell:prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usdt: Option<String>,
    /// A file that is mapped as code, by its path: `/usr/lib/x86_64-linux-gnu/libc.so.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// A recorded event, as one line of JSON. Its values are taken to be the arguments of the policy's hook, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Values by argument number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<GivenValue>,
    /// Values of the hooks' `data`, each with the `source` and the `resolve` that it has there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<GivenValue>,
    /// What the function returns.
    #[serde(default, rename = "return", skip_serializing_if = "Option::is_none")]
    pub returned: Option<String>,
    /// Who does it.
    #[serde(default)]
    pub process: ProcessSpec,
}

/// A value that a hook reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenValue {
    /// Argument number, as in the policy.
    pub index: u8,
    /// The number, the text or the path. Without it there is nothing: a pipe has no path, a pointer is NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value is there and cannot be read.
    #[serde(default)]
    pub unresolved: bool,
    /// The kind of file that it is, as `FileType` names it; a regular file when it is left out and there is a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_type: Option<String>,
    /// The addresses and ports of a socket, a packet or a socket address, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<GivenEndpoints>,
    /// The way to the value, where the policy's argument has one, written as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<String>,
    /// The structure that the argument points to, where the policy's argument names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btf_type: Option<String>,
    /// The module that has that structure, where the policy's argument names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btf_type_module: Option<String>,
    /// Under `data`: where the way begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
}

/// What is to come of an event. At least one of its fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpectSpec {
    /// `allow`, `deny`, or the errno: `-13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// `none`, `SIGKILL`, or the number of a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The reports, all of them, in any order; `[]` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Vec<ReportSpec>>,
}

/// A report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportSpec {
    /// Name of the policy; may be left out when one is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The selector: its label, or its place as `spec.lsmhooks[0].selectors[1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Whether a value could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<bool>,
}

/// A file of cases that was read.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file as it is written.
    pub file: TestFile,
    lines: Lines,
    name: Option<String>,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// Its line in the file.
    pub line: Option<u32>,
    /// What was expected and did not come; empty = it passed.
    pub failures: Vec<String>,
}

/// Reads a file of test cases; `name` names it in messages.
///
/// # Errors
/// All violations of its form.
pub fn read(text: &str, name: Option<&str>) -> Result<Suite, Violations> {
    let place = |violations: Violations, lines: &Lines| {
        Violations(violations.into_iter().map(|violation| located(violation, name, lines)).collect())
    };
    let root = parse(text).map_err(|violations| place(violations, &Lines::default()))?;
    let (file, lines) = decode_as::<TestFile>(&root, &shape_of::<TestFile>())
        .map_err(|(violations, lines)| place(violations, &lines))?;
    let mut violations = Violations::default();
    let at = FieldPath::new("cases");
    if file.cases.is_empty() {
        violations.push(Violation::new(&at, "no case", "at least one"));
    }
    for (number, case) in file.cases.iter().enumerate() {
        let at = at.index(number);
        if case.expect == ExpectSpec::default() {
            let found = "nothing that is expected";
            violations.push(Violation::new(
                &at.member("expect"),
                found,
                "at least one of verdict, signal, reports",
            ));
        }
        let earlier = file.cases.iter().take(number).any(|earlier| earlier.name == case.name);
        if case.name.is_empty() || earlier {
            let found =
                if earlier { format!("`{}` a second time", case.name) } else { "an empty name".into() };
            violations.push(Violation::new(&at.member("name"), found, "a name that no other case has"));
        }
    }
    place(violations, &lines).into_result()?;
    Ok(Suite { file, lines, name: name.map(str::to_owned) })
}

fn located(mut violation: Violation, name: Option<&str>, lines: &Lines) -> Violation {
    violation.line = violation.line.or_else(|| lines.line(&violation.path));
    violation.file = violation.file.or_else(|| name.map(str::to_owned));
    violation
}

impl Suite {
    /// Runs all cases on `policies`.
    ///
    /// # Errors
    /// What is wrong with the cases themselves: values that are no numbers, places that nobody hooks, values that a
    /// selector asks for and the case leaves open.
    pub fn run(&self, policies: &[Policy]) -> Result<Vec<CaseOutcome>, Violations> {
        let mut violations = Violations::default();
        let mut outcomes = Vec::new();
        for (number, case) in self.file.cases.iter().enumerate() {
            let at = FieldPath::new("cases").index(number);
            let mut maker = Maker { policies, violations: &mut violations };
            let expected = maker.expected(&case.expect, &at.member("expect"));
            let before: Vec<Option<Event>> = (case.before.iter().enumerate())
                .map(|(place, spec)| maker.event(spec, &at.member("before").index(place)))
                .collect();
            let before: Option<Vec<Event>> = before.into_iter().collect();
            let event = maker.event(&case.event, &at.member("event"));
            let (Some(before), Some(mut event), Some(expected)) = (before, event, expected) else { continue };
            for mut earlier in before {
                earlier.process.notifications = event.process.notifications;
                event.process.notifications = judge_operation(policies, &earlier, &host()).notifications;
            }
            let judgement = judge_operation(policies, &event, &host());
            outcomes.push(CaseOutcome {
                name: case.name.clone(),
                line: self.lines.line(&at),
                failures: failures(&expected, &judgement, policies),
            });
        }
        let each =
            violations.into_iter().map(|violation| located(violation, self.name.as_deref(), &self.lines));
        Violations(each.collect()).into_result()?;
        Ok(outcomes)
    }
}

/// An expectation that can be compared.
pub(super) struct Expected<'a> {
    /// 0, an errno, or any errno.
    pub(super) verdict: Option<Result<i16, ()>>,
    /// 0 = none.
    pub(super) signal: Option<u8>,
    pub(super) reports: Option<&'a [ReportSpec]>,
}

struct Maker<'a> {
    policies: &'a [Policy],
    violations: &'a mut Violations,
}

impl Maker<'_> {
    fn refuse(&mut self, at: &FieldPath, found: impl Into<String>, allowed: impl Into<String>) {
        self.violations.push_bounded(Violation::new(at, found, allowed));
    }

    fn expected<'b>(&mut self, spec: &'b ExpectSpec, at: &FieldPath) -> Option<Expected<'b>> {
        let before = self.violations.len();
        let verdict = spec.verdict.as_deref().and_then(|text| match text {
            "allow" => Some(Ok(0)),
            "deny" => Some(Err(())),
            text => {
                let errno = text.parse::<i16>().ok().filter(|errno| (-4095..0).contains(errno));
                if errno.is_none() {
                    self.refuse(
                        &at.member("verdict"),
                        format!("`{text}`"),
                        "allow, deny, or an errno from -4095 to -1",
                    );
                }
                errno.map(Ok)
            }
        });
        let signal = spec.signal.as_deref().and_then(|text| match text {
            "none" => Some(0),
            "SIGKILL" => Some(9),
            text => {
                let number = text.parse::<u8>().ok().filter(|number| (1..=64).contains(number));
                if number.is_none() {
                    self.refuse(
                        &at.member("signal"),
                        format!("`{text}`"),
                        "none, SIGKILL, or a number from 1 to 64",
                    );
                }
                number
            }
        });
        for (place, report) in spec.reports.iter().flatten().enumerate() {
            let known = |name: &String| self.policies.iter().any(|policy| policy.key().to_string() == *name);
            if let Some(name) = report.policy.as_ref().filter(|name| !known(name)) {
                let names: Vec<String> =
                    self.policies.iter().map(|policy| policy.key().to_string()).collect();
                let at = at.member("reports").index(place).member("policy");
                self.refuse(&at, format!("`{name}`"), names.join(", "));
            }
        }
        (self.violations.len() == before).then_some(Expected {
            verdict,
            signal,
            reports: spec.reports.as_deref(),
        })
    }

    /// The event of a case, if everything that the policies ask for is there.
    fn event(&mut self, spec: &EventSpec, at: &FieldPath) -> Option<Event> {
        let count = target::count(spec);
        if count != 1 {
            self.refuse(at, format!("{count} places"), format!("exactly one of {}", target::FIELDS));
            return None;
        }
        if let Some(text) = &spec.line {
            return self.recorded(text, spec, at);
        }
        let target = match target::of(spec) {
            Ok(target) => target,
            Err((field, found, allowed)) => {
                self.refuse(&at.member(field), found, allowed);
                return None;
            }
        };
        let hooks = self.hooks(&target, at)?;
        let before = self.violations.len();
        let mut args = self.mapped(spec, at);
        for (name, list) in [("args", &spec.args), ("data", &spec.data)] {
            for (place, given) in list.iter().enumerate() {
                let at = at.member(name).index(place);
                let Some(origin) = self.origin(given, name == "data", &at) else { continue };
                let kind = kind_of(&hooks, &origin);
                args.extend(self.value(given, kind, &at).map(|value| (origin, value)));
            }
        }
        let return_kind = hooks.iter().find_map(|hook| hook.return_arg.as_ref()).map(|arg| arg.kind);
        let returned = spec.returned.as_ref().and_then(|text| {
            let value = Some(text.clone());
            let given = GivenValue { value, ..GivenValue::default() };
            self.value(&given, return_kind, &at.member("return"))
        });
        let process = process::read(&spec.process, &at.member("process"), self.violations);
        for hook in &hooks {
            self.complete(hook, &args, returned.is_some(), &spec.process, at);
        }
        let denies = denies(&target);
        let event = Event { target, moment: Moment::Begin, denies, args, returned, process };
        (self.violations.len() == before).then_some(event)
    }

    /// The values of a file that is mapped as code, which are not given one by one.
    fn mapped(&mut self, spec: &EventSpec, at: &FieldPath) -> BTreeMap<Origin, Value> {
        let Some(path) = &spec.loader else { return BTreeMap::new() };
        if !spec.args.is_empty() || !spec.data.is_empty() || spec.returned.is_some() {
            self.refuse(&at.member("loader"), "a file and values beside it", "one of the two");
        }
        let hooks = self.policies.iter().flat_map(Policy::hooks);
        let read = hooks
            .filter(|hook| hook.target == HookTarget::Mapping)
            .flat_map(|hook| hook.args.iter().map(Arg::origin).zip(line::mapped(Some(path))));
        read.map(|(origin, value)| (origin, value.read())).collect()
    }

    /// The hooks at a place: a case that no policy hears of proves nothing.
    fn hooks(&mut self, target: &HookTarget, at: &FieldPath) -> Option<Vec<Hook>> {
        let all = self.policies.iter().flat_map(Policy::hooks);
        let here: Vec<Hook> = all.filter(|hook| same_place(&hook.target, target)).cloned().collect();
        if here.is_empty() {
            self.refuse(at, "a place that no tested policy hooks", "the place of one of their hooks");
            return None;
        }
        Some(here)
    }

    fn recorded(&mut self, text: &str, spec: &EventSpec, at: &FieldPath) -> Option<Event> {
        let at = at.member("line");
        let values = !spec.args.is_empty() || !spec.data.is_empty();
        if values || spec.returned.is_some() || spec.process != ProcessSpec::default() {
            self.refuse(&at, "a recorded event and values beside it", "one of the two");
            return None;
        }
        let event: Box<Recorded> = match line::parse(text.trim()) {
            Ok(Line::Hook(event)) => event,
            Ok(Line::Exec { .. } | Line::Other) => {
                self.refuse(
                    &at,
                    "an event of no hook",
                    "an event of a hook: process_kprobe, process_tracepoint, process_lsm, process_uprobe, process_usdt, \
                     process_loader",
                );
                return None;
            }
            Err(found) => {
                self.refuse(&at, found, "an event line");
                return None;
            }
        };
        let hooks = self.hooks(&event.place, &at)?;
        let made = hooks.iter().find_map(|hook| event.event(&hook.args, &Relatives::default()));
        if made.is_none() {
            self.refuse(
                &at,
                "an event whose values fit no hook of the policies",
                "one with the arguments of the hook",
            );
        }
        made
    }

    /// Which value is given.
    fn origin(&mut self, given: &GivenValue, is_data: bool, at: &FieldPath) -> Option<Origin> {
        let path = match given.resolve.as_deref().map_or(Ok(MemberPath::default()), MemberPath::parse) {
            Ok(path) => path,
            Err(found) => {
                self.refuse(&at.member("resolve"), found, "the path that the policy has");
                return None;
            }
        };
        let source = match (is_data, given.source) {
            (false, None) => ArgSource::Argument,
            (true, Some(SourceName::CurrentTask)) => ArgSource::CurrentTask,
            (true, Some(SourceName::PtRegs)) => ArgSource::Registers,
            (false, Some(_)) => {
                self.refuse(&at.member("source"), "`source` of an argument", "`source` under `data`");
                return None;
            }
            (true, None) => {
                self.refuse(&at.member("source"), "nothing", "current_task, pt_regs: what the policy has");
                return None;
            }
        };
        let index = if is_data { 0 } else { given.index };
        let cast = given.btf_type.clone().map(|structure| Cast {
            structure,
            module: given.btf_type_module.as_ref().map(|name| name.replace('-', "_")),
        });
        Some(Origin { source, index, cast, path })
    }

    fn value(&mut self, given: &GivenValue, kind: Option<ArgKind>, at: &FieldPath) -> Option<Value> {
        let at = at.member("value");
        if given.unresolved && given.value.is_some() {
            self.refuse(&at, "a value that cannot be read", "`value` or `unresolved`");
            return None;
        }
        let text = match (&given.value, given.unresolved) {
            (Some(text), _) => Reading::Text(text.clone().into_bytes()),
            (None, true) => Reading::Unresolved,
            (None, false) => Reading::Absent,
        };
        let number =
            given.value.as_deref().and_then(|text| parse_number(text).or_else(|| named(text, kind?)));
        let class = match kind {
            Some(kind) if kind.integer().is_some() => {
                if number.is_none() {
                    let found = given
                        .value
                        .as_ref()
                        .map_or("nothing".into(), |text| format!("\"{}\"", text.escape_debug()));
                    self.refuse(&at, found, "a number: the policy reads one");
                    return None;
                }
                TypeClass::Integer { width: 8, signed: true }
            }
            Some(kind) if kind.is_only_shown() => {
                let found = format!("a value of type {}", kind.name());
                self.refuse(&at, found, "none: values of this type are shown, no filter asks about them");
                return None;
            }
            Some(ArgKind::SockaddrUn) => return self.unix_address(given, text, &at),
            Some(kind) if given.endpoints.is_some() || endpoints::structure(kind).is_some() => {
                return self.endpoints(given, kind, text, &at);
            }
            Some(ArgKind::Auto) if number.is_some() => TypeClass::Integer { width: 8, signed: true },
            Some(_) | None => TypeClass::CharPointer,
        };
        let file_type = match &given.file_type {
            Some(name) => {
                let known = file_type(name);
                if known.is_none() {
                    let names = FILE_TYPES.map(|(known, _)| known);
                    self.refuse(&at, format!("the file type `{name}`"), names.join(", "));
                }
                Some(known?)
            }
            None => given.value.as_ref().map(|_| FileType::Regular),
        };
        let number = low_bits(number.unwrap_or(0));
        Some(Value { class, number, text, file_type, endpoints: Endpoints::default() })
    }

    /// A value that has endpoints; `at` is its `value`, which there is none of.
    fn endpoints(
        &mut self,
        given: &GivenValue,
        kind: ArgKind,
        text: Reading,
        at: &FieldPath,
    ) -> Option<Value> {
        let structure = endpoints::structure(kind).or((kind == ArgKind::Auto).then_some("sock"));
        if given.value.is_some() || structure.is_none() {
            let found = if structure.is_none() { "endpoints of a value that has none" } else { "a text" };
            self.refuse(
                at,
                found,
                "`endpoints` for types sock, socket, skb and sockaddr, `value` for others",
            );
            return None;
        }
        let class = TypeClass::StructPointer(structure.unwrap_or_default().to_owned());
        match given.endpoints.as_ref().map_or(Ok(Endpoints::default()), GivenEndpoints::read) {
            Ok(endpoints) => Some(Value { class, number: 0, text, file_type: None, endpoints }),
            Err((member, found, allowed)) => {
                self.refuse(&at.member(member), found, allowed);
                None
            }
        }
    }

    /// The address of a Unix socket, or of another one; `at` is its `value`, the path.
    fn unix_address(&mut self, given: &GivenValue, path: Reading, at: &FieldPath) -> Option<Value> {
        let class = TypeClass::StructPointer("sockaddr_un".to_owned());
        let unix = Endpoints { family: EndpointsPart::Family.number_of("AF_UNIX"), ..Endpoints::default() };
        let (text, endpoints) = match &given.endpoints {
            None if path == Reading::Absent => (path, Endpoints::default()),
            None => (path, unix),
            Some(endpoints) => match endpoints.read() {
                Ok(found) if given.value.is_some() && found != unix => {
                    let allowed = "a path, or `endpoints` with the family of a socket that is no Unix socket";
                    self.refuse(at, "a path of another family than AF_UNIX", allowed);
                    return None;
                }
                Ok(found) if given.value.is_none() && !given.unresolved => (Reading::Text(Vec::new()), found),
                Ok(found) => (path, found),
                Err((member, found, allowed)) => {
                    self.refuse(&at.member(member), found, allowed);
                    return None;
                }
            },
        };
        Some(Value { class, number: 0, text, file_type: None, endpoints })
    }

    /// Everything that the hook's selectors ask for has to be said: what is left open would be guessed.
    fn complete(
        &mut self,
        hook: &Hook,
        args: &BTreeMap<Origin, Value>,
        returned: bool,
        process: &ProcessSpec,
        at: &FieldPath,
    ) {
        let mut missing: Vec<(FieldPath, String)> = Vec::new();
        let not_given = |operand: Operand| match operand {
            Operand::Arg(arg) => {
                hook.args.get(arg).filter(|arg| !args.contains_key(&arg.origin())).map(|arg| {
                    let list = if arg.is_data() { "data" } else { "args" };
                    (at.member(list), format!("nothing for {}", arg.origin()))
                })
            }
            Operand::Return => (!returned).then(|| (at.member("return"), "nothing".to_owned())),
        };
        for predicate in hook.rules.iter().flat_map(|rule| &rule.predicates) {
            let found: Vec<_> = match predicate {
                Predicate::Arg { arg, .. } => not_given(Operand::Arg(*arg)).into_iter().collect(),
                Predicate::Return { .. } => not_given(Operand::Return).into_iter().collect(),
                Predicate::Expression(test) => {
                    test.values.values().filter_map(|operand| not_given(*operand)).collect()
                }
                Predicate::Binary(_)
                | Predicate::Workload(_)
                | Predicate::Pid(_)
                | Predicate::Namespace(_)
                | Predicate::Capability(_)
                | Predicate::NamespaceChange(_)
                | Predicate::CapabilityChange(_)
                | Predicate::Notified(_) => {
                    let lacking = process.lacks(predicate);
                    let told = |member| (at.member("process").member(member), "nothing".to_owned());
                    lacking.map(told).into_iter().collect()
                }
            };
            for one in found {
                if !missing.contains(&one) {
                    missing.push(one);
                }
            }
        }
        for (at, found) in missing {
            if !self.violations.iter().any(|known| known.path == at && known.found == found) {
                self.refuse(&at, found, "a value, since a selector asks for it");
            }
        }
    }
}

/// What the policies read a value as.
fn kind_of(hooks: &[Hook], origin: &Origin) -> Option<ArgKind> {
    hooks.iter().flat_map(|hook| &hook.args).find(|arg| arg.origin() == *origin).map(|arg| arg.kind)
}

/// The number that a name stands for, or names separated by commas where the number is a set.
fn named(text: &str, kind: ArgKind) -> Option<i128> {
    let place = |names: &[&str], name: &str| {
        names.iter().position(|known| *known == name).and_then(|place| i128::try_from(place).ok())
    };
    if kind == ArgKind::Capability {
        return place(&CAPABILITIES, text);
    }
    if kind == ArgKind::BpfCmd {
        return place(&BPF_COMMANDS, text);
    }
    if matches!(kind, ArgKind::Capabilities(_)) {
        let bit = |name: &str| Some(1_i128 << place(&CAPABILITIES, name.trim())?);
        return text.split(',').try_fold(0, |set, name| Some(set | bit(name)?));
    }
    None
}
