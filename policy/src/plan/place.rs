//! One hook of one policy, as far as it can be decided without the other policies.

use super::answers::Answers;
use super::asked::{ColumnKey, Source, Tests, endpoints};
use super::attach::{SIGKILL, Site, Wants, can_hash, hashed_hook, sites};
use super::columns::{Test, text_key};
use super::facts::{NodeFacts, UserProblem};
use super::fields::{Field, Resolved};
use super::module;
use super::notifications::Enforcer;
use super::numbers;
use super::program::{self, AskedTypes, ProgramGround};
use super::reach::Ground;
use super::refusal::{Problem, Refusal};
use super::user::{self, FoundDigest, Recognised};
use super::{ArgPlan, Attach, EventKind, HookPoint, RulePlan, UserSite, process};
use crate::expression::Code;
use crate::model::{
    Actions, Arg, ArgKind, DigestKind, Enforcement, FieldPath, Hook, HookTarget, IntField, IntKind, Mode,
    NumberTest, OnUnresolved, Policy, PolicyKey, Predicate, ProgramWrite, RateLimitScope, Rule, Scope,
    TextMatch, TextTest, UserPlace, ValueTest,
};
use crate::violation::{Violation, Warning};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_column_kind as column, lictor_column_source as from};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// A rule with what it asks of columns.
#[derive(Debug)]
pub(super) struct PlacedRule {
    pub(super) plan: RulePlan,
    pub(super) match_unresolved: bool,
    /// The workloads that it is for, among those of the policy; `None` = all.
    pub(super) scope: Option<Scope>,
    pub(super) tests: Vec<(ColumnKey, Test)>,
    /// The field of the socket that is remembered (`true`) or forgotten.
    pub(super) socket: Option<(Field, bool)>,
    /// The field that is written over.
    pub(super) set: Option<Field>,
}

/// A hook with its place.
#[derive(Debug)]
pub(super) struct PlacedHook {
    pub(super) point: HookPoint,
    pub(super) reason: String,
    pub(super) flags: u8,
    pub(super) argument_count: u8,
    pub(super) fields: BTreeSet<Field>,
    pub(super) columns: BTreeSet<ColumnKey>,
    pub(super) rules: Vec<PlacedRule>,
    pub(super) group: PlacedGroup,
}

/// What the events of a hook look like; fields are numbered later.
#[derive(Debug)]
pub(super) struct PlacedGroup {
    pub(super) at: FieldPath,
    pub(super) function_name: String,
    pub(super) called: Option<Field>,
    pub(super) user: Option<UserSite>,
    pub(super) event: EventKind,
    pub(super) args: Vec<(Option<Field>, ArgPlan)>,
    pub(super) data: Vec<(Option<Field>, ArgPlan)>,
    pub(super) return_arg: Option<(Option<Field>, ArgPlan)>,
    pub(super) message: Option<String>,
    pub(super) tags: Vec<String>,
}

/// A target's places, or why it has none.
type SitesResult = Rc<Result<Vec<Site>, (Problem, Option<FieldPath>)>>;

/// Finds places; remembers what it found out about the node's symbols.
#[derive(Debug)]
pub(super) struct Placer<'a> {
    facts: &'a NodeFacts,
    /// LSM hooks at which some policy wants the file's hash.
    hashed: BTreeSet<&'a str>,
    sites: HashMap<(HookTarget, Wants), SitesResult>,
    digests: BTreeMap<(String, DigestKind), Result<FoundDigest, UserProblem>>,
    types: AskedTypes,
    /// Places of files that were asked about besides those of the hooks.
    places: BTreeSet<(String, UserPlace)>,
}

/// What was found out about one policy.
#[derive(Debug, Default)]
pub(super) struct PlacedPolicy {
    pub(super) hooks: Vec<PlacedHook>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) warnings: Vec<Warning>,
}

impl PlacedPolicy {
    /// A hook in a file that it is not meant for. The hooks of one entry have the file in common: it is told once.
    fn other_file(&mut self, problem: Problem, policy: &Policy, hook: &Hook) {
        let at = hook.at.member("binaryDigests");
        let passed_over = matches!(&hook.target, HookTarget::User { versions, .. } if versions.ignore_others);
        if problem.other_file && passed_over {
            let found = problem.found().to_owned();
            let warning = warning(
                &policy.key,
                &at,
                found,
                "it is none of those that are meant: the hook is passed over",
            );
            return push_once(&mut self.warnings, warning);
        }
        push_once(&mut self.refusals, problem.at(&policy.key, &at));
    }
}

/// Adds what was not said just before: hooks of one entry have much in common.
fn push_once<T: PartialEq>(said: &mut Vec<T>, more: T) {
    if said.last() != Some(&more) {
        said.push(more);
    }
}

impl<'a> Placer<'a> {
    pub(super) fn new(facts: &'a NodeFacts, policies: &[&'a Policy]) -> Self {
        let hooks = policies.iter().flat_map(|policy| &policy.hooks);
        let hashed = hooks.filter_map(hashed_hook).filter(|_| can_hash(facts));
        Self {
            facts,
            hashed: hashed.collect(),
            sites: HashMap::new(),
            digests: BTreeMap::new(),
            types: AskedTypes::new(),
            places: BTreeSet::new(),
        }
    }

    /// The places of all hooks of a policy. A hook whose target is missing may be left out.
    pub(super) fn policy(&mut self, policy: &Policy) -> PlacedPolicy {
        let mut placed = PlacedPolicy::default();
        let enforcer = self.enforcer(policy);
        for hook in &policy.hooks {
            let sites = self.sites(hook);
            if let Some(problem) = self.other_file(hook, &sites) {
                placed.other_file(problem, policy, hook);
                continue;
            }
            let types = program::ask(hook, self.facts, &mut self.types);
            let types = types.map_err(|problem| (problem, Some(hook.at.member("btfPath"))));
            let sites = match (*sites).as_ref().and_then(|sites| types.as_ref().map(|()| sites)) {
                Ok(sites) => sites,
                Err((problem, at)) if problem.missing && hook.ignore_missing => {
                    let text = format!("{}, which this kernel lacks", problem.found());
                    let at = at.as_ref().unwrap_or(&hook.at);
                    let warning = warning(&policy.key, at, text, "the hook is passed over");
                    push_once(&mut placed.warnings, warning);
                    continue;
                }
                Err((problem, at)) => {
                    let at = at.as_ref().unwrap_or(&hook.at);
                    push_once(&mut placed.refusals, problem.clone().at(&policy.key, at));
                    continue;
                }
            };
            for site in sites {
                placed.warnings.extend(
                    module::held(site).map(|(found, advice)| warning(&policy.key, &hook.at, found, advice)),
                );
                let mut placing = Placing {
                    policy,
                    hook,
                    site,
                    enforcer: &enforcer,
                    facts: self.facts,
                    types: program::ground(hook, &self.types),
                    expressions: BTreeSet::new(),
                    asked: Vec::new(),
                    refusals: Vec::new(),
                };
                let done = placing.hook();
                self.places.extend(placing.asked.drain(..));
                placed.refusals.append(&mut placing.refusals);
                placed.hooks.push(done);
            }
        }
        placed
    }

    /// The policy's enforcer. A call that has no place is refused with the policy's hooks.
    fn enforcer(&mut self, policy: &Policy) -> Enforcer {
        let mut points = BTreeSet::new();
        for hook in policy.hooks.iter().filter(|hook| hook.is_enforcer()) {
            points.extend(self.sites(hook).iter().flatten().map(|site| site.point.clone()));
        }
        Enforcer::new(policy, points)
    }

    /// What the policies so far have asked about files of the node and modules of its kernel. Asked once more: the answers
    /// are at hand.
    pub(super) fn answers(&self) -> Answers {
        let asked = self.sites.keys().filter_map(|(target, _)| match target {
            HookTarget::User { path, place, .. } => Some((path.as_str(), place)),
            HookTarget::Function(_)
            | HookTarget::Functions(_)
            | HookTarget::Syscalls
            | HookTarget::Syscall(_)
            | HookTarget::Syscall32(_)
            | HookTarget::Tracepoint { .. }
            | HookTarget::Lsm(_)
            | HookTarget::Mapping => None,
        });
        let asked = asked.chain(self.places.iter().map(|(path, place)| (path.as_str(), place)));
        let symbols = &*self.facts.symbols;
        let functions =
            self.sites.iter().flat_map(|((target, _), sites)| module::functions(target, sites, symbols));
        Answers::ask(asked, self.digests.clone(), self.types.clone(), functions.collect(), symbols)
    }

    /// What is wrong with the file of a hook that is not meant for any file.
    fn other_file(
        &mut self,
        hook: &Hook,
        sites: &Result<Vec<Site>, (Problem, Option<FieldPath>)>,
    ) -> Option<Problem> {
        let HookTarget::User { path, versions, .. } = &hook.target else { return None };
        if versions.digests.is_empty() {
            return None;
        }
        let symbols = &*self.facts.symbols;
        let answer = |kind| {
            let known = self.digests.entry((path.clone(), kind));
            known.or_insert_with(|| symbols.file_digest(path, kind)).clone()
        };
        let file = match user::recognise(path, &versions.digests, answer) {
            Recognised::Yes(file) => Some(file),
            Recognised::Unknown => None,
            Recognised::Other(problem) => return Some(problem),
        };
        let mut places = sites.iter().flatten().filter_map(|site| site.user.as_ref());
        places.any(|place| Some(place.file) != file).then(|| user::replaced(path))
    }

    fn sites(&mut self, hook: &Hook) -> SitesResult {
        let wants = Wants::of(hook);
        let (facts, hashed) = (self.facts, &self.hashed);
        let found = self.sites.entry((hook.target.clone(), wants));
        let entry = found.or_insert_with_key(|(target, wants)| {
            let mut found = sites(target, wants, facts);
            for site in found.iter_mut().flatten() {
                // One program for all rules of a hook: behind one that denies, the kernel runs no other.
                if site.point.attach == Attach::Lsm && hashed.contains(site.point.symbol.as_str()) {
                    site.point.attach = Attach::LsmHash;
                }
            }
            Rc::new(found)
        });
        Rc::clone(entry)
    }
}

fn warning(policy: &PolicyKey, at: &FieldPath, found: String, advice: &str) -> Warning {
    Warning(Violation::new(at, found, "").hint(advice).of(policy))
}

/// One hook on its way.
pub(super) struct Placing<'a> {
    policy: &'a Policy,
    pub(super) hook: &'a Hook,
    pub(super) site: &'a Site,
    enforcer: &'a Enforcer,
    pub(super) facts: &'a NodeFacts,
    types: Option<ProgramGround<'a>>,
    /// Many rules may ask the same.
    pub(super) expressions: BTreeSet<Rc<Code<Field>>>,
    /// Other places of the file that were asked about.
    pub(super) asked: Vec<(String, UserPlace)>,
    refusals: Vec<Refusal>,
}

impl Placing<'_> {
    pub(super) fn refuse(&mut self, at: &FieldPath, problem: Problem) {
        self.refusals.push(problem.at(&self.policy.key, at));
    }

    fn hook(&mut self) -> PlacedHook {
        let hook = self.hook;
        let args: Vec<Option<Resolved>> = hook.args.iter().map(|arg| self.argument(arg)).collect();
        let return_arg = hook.return_arg.as_ref().filter(|_| hook.on_return).map(|arg| self.returned(arg));
        let returned = return_arg.flatten();
        let rules: Vec<PlacedRule> = hook
            .rules
            .iter()
            .enumerate()
            .map(|(number, rule)| self.rule(number, rule, &args, returned))
            .collect();
        let shown = |arg: &Arg, resolved: Resolved| {
            let kind = resolved.kind;
            (resolved.field, ArgPlan { field: None, kind, label: arg.label.clone() })
        };
        let values = |data: bool| {
            (hook.args.iter().zip(&args))
                .filter(|(arg, _)| arg.is_data() == data)
                .filter_map(|(arg, resolved)| resolved.map(|resolved| shown(arg, resolved)))
                .filter(|(field, _)| field.is_some())
                .collect()
        };
        let group = PlacedGroup {
            at: hook.at.clone(),
            function_name: self.site.function_name.clone(),
            called: self.site.called,
            user: self.site.user.clone(),
            event: self.site.event,
            args: values(false),
            data: values(true),
            return_arg: hook.return_arg.as_ref().zip(returned).map(|(arg, resolved)| shown(arg, resolved)),
            message: hook.message.clone(),
            tags: hook.tags.clone(),
        };
        let read =
            group.args.iter().chain(&group.data).chain(&group.return_arg).filter_map(|(field, _)| *field);
        let read = read.chain(group.called);
        PlacedHook {
            point: self.site.point.clone(),
            reason: self.site.reason.clone(),
            flags: self.site.flags,
            argument_count: self.site.argument_count,
            fields: read.collect(),
            columns: rules.iter().flat_map(|rule| &rule.tests).map(|(column, _)| *column).collect(),
            rules,
            group,
        }
    }

    fn ground(&self) -> Ground<'_> {
        let attach = self.site.point.attach;
        Ground { symbols: &*self.facts.symbols, attach, program: self.types }
    }

    fn argument(&mut self, arg: &Arg) -> Option<Resolved> {
        match self.site.reader.argument(arg, self.ground()) {
            Ok(resolved) => Some(resolved),
            Err(problem) => {
                self.refuse(&arg.at, problem);
                None
            }
        }
    }

    /// The return value. Where the program's own return value decides, that is what is shown: no field.
    fn returned(&mut self, arg: &Arg) -> Option<Resolved> {
        let resolved = match (self.site.point.attach.can_deny(), &self.site.reader) {
            (true, _) if arg.path.is_some() || arg.cast.is_some() => Err(Problem::new(
                "the way to a member of the return value",
                "functions that nobody is asked at: a verdict is 0 or a negative errno",
            )),
            (true, _) => match arg.kind {
                ArgKind::Auto => {
                    let kind = ArgKind::Int(IntKind { width: 4, signed: true, shown_as: IntField::Int });
                    Ok(Resolved { kind, field: None })
                }
                kind @ (ArgKind::Int(_) | ArgKind::Nop) => Ok(Resolved { kind, field: None }),
                kind @ (ArgKind::String
                | ArgKind::CharBuf
                | ArgKind::CharIovec
                | ArgKind::File
                | ArgKind::Fd
                | ArgKind::Path
                | ArgKind::Dentry
                | ArgKind::Filename
                | ArgKind::LinuxBinprm
                | ArgKind::Capability
                | ArgKind::Syscall
                | ArgKind::Sock
                | ArgKind::Socket
                | ArgKind::Skb
                | ArgKind::Sockaddr
                | ArgKind::SockaddrUn
                | ArgKind::Cred
                | ArgKind::UserNamespace
                | ArgKind::Module
                | ArgKind::BpfAttr
                | ArgKind::BpfMap
                | ArgKind::PerfEvent
                | ArgKind::NetDevice
                | ArgKind::Capabilities(_)
                | ArgKind::BpfCmd
                | ArgKind::BpfProg
                | ArgKind::LoadInfo
                | ArgKind::Kiocb
                | ArgKind::IovIter
                | ArgKind::DataLoc
                | ArgKind::ConstBuf) => {
                    let found = format!("type {} for the return value", kind.name());
                    Err(Problem::new(found, "integer types: a verdict is 0 or a negative errno"))
                }
            },
            (false, reader) => reader.returned(arg, self.ground()),
        };
        match resolved {
            Ok(resolved) => Some(resolved),
            Err(problem) => {
                self.refuse(&arg.at, problem);
                None
            }
        }
    }

    fn rule(
        &mut self,
        number: usize,
        rule: &Rule,
        args: &[Option<Resolved>],
        returned: Option<Resolved>,
    ) -> PlacedRule {
        let mut tests = Tests::default();
        let scope = rule.workloads().map(|test| test.scope.clone());
        if self.policy.scope.is_some() || scope.is_some() {
            let source = Source::Process(from::LICTOR_FROM_CGROUP);
            tests.add(column::LICTOR_COLUMN_SCOPE, source, Test::Scope);
        }
        for predicate in &rule.predicates {
            match predicate {
                Predicate::Arg { at, arg, test } => match args.get(*arg) {
                    Some(Some(resolved)) => self.value(at, *resolved, test, &mut tests),
                    // Its argument has been refused.
                    Some(None) => {}
                    None => {
                        let problem = Problem::new(
                            format!("argument {arg}"),
                            format!("arguments of the hook, of which there are {}", args.len()),
                        );
                        self.refuse(at, problem);
                    }
                },
                Predicate::Return { at, test } => {
                    let refused = self.hook.on_return && self.hook.return_arg.is_some() && returned.is_none();
                    match returned.filter(|resolved| resolved.field.is_some()) {
                        Some(resolved) => self.value(at, resolved, test, &mut tests),
                        None if refused => {}
                        None => {
                            let problem = Problem::new("matchReturnArgs", "hooks with return and returnArg");
                            self.refuse(at, problem);
                        }
                    }
                }
                Predicate::Expression(test) => self.expression(test, args, returned, &mut tests),
                // Which rules are for which workloads is data beside the plan.
                Predicate::Workload(_) => {}
                Predicate::Binary(test) => self.binary(test, &mut tests),
                Predicate::Pid(test) => process::pid(test, &mut tests),
                Predicate::Namespace(test) => self.namespace(test, &mut tests),
                Predicate::Capability(test) => self.capability(test, &mut tests),
                Predicate::NamespaceChange(test) => process::namespace_change(test, &mut tests),
                Predicate::CapabilityChange(test) => self.capability_change(test, &mut tests),
                Predicate::Notified(enforcement) => self.enforcer.notified(*enforcement, &mut tests),
            }
        }
        let match_unresolved = match self.policy.on_unresolved {
            // Whether something is left for a thread is always known, without scratch memory as well: nothing.
            _ if rule.carries_out().is_some() => false,
            Some(OnUnresolved::Match) => true,
            Some(OnUnresolved::Skip) => false,
            None => rule.actions.enforces(),
        };
        let socket = rule.actions.socket.and_then(|action| {
            let resolved = match action.arg {
                Some(arg) => args.get(arg).copied().flatten(),
                None => returned,
            };
            Some((resolved?.field?, action.track))
        });
        let mut plan = self.plan(number, rule);
        let set = self.writes(rule, args, &mut plan);
        PlacedRule { plan, match_unresolved, scope, tests: tests.into_list(), socket, set }
    }

    /// What the rule does.
    fn plan(&self, number: usize, rule: &Rule) -> RulePlan {
        let actions = &rule.actions;
        let Actions { post, rate_limit, stacks, calls, set, .. } = actions;
        let at_once = self.enforcer.at_once(self.hook, self.site, rule);
        let Enforcement { deny, signal } = actions.with(at_once);
        let verdict = match (deny, signal) {
            (Some(errno), _) => errno,
            (None, Some(SIGKILL)) if self.site.denies && self.site.point.attach.can_deny() => EPERM,
            (None, Some(_) | None) => 0,
        };
        let mut flags = 0;
        if *post || !calls.is_empty() {
            flags |= wire::LICTOR_RULE_RECORD;
        }
        if verdict != 0 {
            flags |= wire::LICTOR_RULE_DENY;
        }
        if signal.is_some() {
            flags |= wire::LICTOR_RULE_SIGNAL;
        }
        if self.policy.mode == Mode::Monitor && (verdict != 0 || signal.is_some() || set.is_some()) {
            flags |= wire::LICTOR_RULE_MONITOR;
        }
        if rate_limit.is_some() {
            flags |= wire::LICTOR_RULE_LIMIT;
        }
        if stacks.kernel {
            flags |= wire::LICTOR_RULE_KERNEL_STACK;
        }
        if stacks.user {
            flags |= wire::LICTOR_RULE_USER_STACK;
        }
        if actions.hash {
            flags |= wire::LICTOR_RULE_HASH;
        }
        let limit_scope = rate_limit.map_or(wire::LICTOR_LIMIT_THREAD, |limit| match limit.scope {
            RateLimitScope::Thread => wire::LICTOR_LIMIT_THREAD,
            RateLimitScope::Process => wire::LICTOR_LIMIT_PROCESS,
            RateLimitScope::Global => wire::LICTOR_LIMIT_GLOBAL,
        });
        let mut plan = RulePlan {
            group: 0,
            scope: None,
            selector: number as u32,
            label: rule.label.clone(),
            flags,
            verdict,
            signal: signal.map_or(0, u16::from),
            limit_interval_ns: rate_limit.map_or(0, |limit| limit.interval_ns),
            limit_scope,
            limit_id: limit_id(&self.policy.key, &self.hook.at, &self.site.point.symbol, number),
            set_value: match set {
                Some(ProgramWrite::Argument(set)) => set.value,
                Some(ProgramWrite::Registers(_)) | None => 0,
            },
            notification: 0,
            assignments: Vec::new(),
            post: *post,
            calls: calls.clone(),
            shown: actions.shown,
            shown_return: actions.shown_return,
        };
        self.enforcer.plan(rule, at_once.is_some(), &mut plan);
        plan
    }

    /// A test on a value that the hook reads.
    fn value(&mut self, at: &FieldPath, resolved: Resolved, test: &ValueTest, tests: &mut Tests) {
        let Some(field) = resolved.field else {
            self.refuse(at, Problem::new("a test on an argument of type nop", "arguments that are read"));
            return;
        };
        let integer = resolved.kind.integer();
        match (integer, test) {
            (_, ValueTest::FileType(test)) if resolved.kind.is_file() => {
                let types = test.types.iter().map(|kind| *kind as u64).collect();
                let test = Test::numbers(types, test.negated);
                tests.add(column::LICTOR_COLUMN_NUMBER, Source::FileType(field), test);
            }
            (_, ValueTest::FileType(_)) => {
                let found = format!("FileType on a value of type {}", resolved.kind.name());
                self.refuse(at, Problem::new(found, "values that are shown as files"));
            }
            (_, ValueTest::Endpoints(test)) if resolved.kind.endpoints().contains(&test.part) => {
                endpoints(field, test, tests);
            }
            (_, ValueTest::Endpoints(test)) => {
                let found = format!("{:?} of a value of type {}", test.part, resolved.kind.name());
                self.refuse(
                    at,
                    Problem::new(found, "values that have one: sock, socket, skb, sockaddr, sockaddr_un"),
                );
            }
            _ if !resolved.kind.endpoints().is_empty() && resolved.kind != ArgKind::SockaddrUn => {
                let found =
                    format!("an operator for numbers or texts on a value of type {}", resolved.kind.name());
                self.refuse(at, Problem::new(found, "operators for addresses, ports, protocols, families"));
            }
            _ if resolved.kind.is_only_shown() => {
                let found = format!("a filter on a value of type {}", resolved.kind.name());
                self.refuse(at, Problem::new(found, "values that are compared; this type is only shown"));
            }
            (Some(int), ValueTest::Number(number) | ValueTest::Either { number, .. }) => {
                self.number(at, field, int, number, tests);
            }
            (None, ValueTest::Text(words) | ValueTest::Either { text: words, .. }) => {
                self.text(at, Source::Field(field), words, tests);
            }
            (Some(_), ValueTest::Text(_)) => {
                let found = format!("a text operator on a value of type {}", resolved.kind.name());
                self.refuse(at, Problem::new(found, "operators for integers"));
            }
            (None, ValueTest::Number(_)) => {
                let found = format!("an operator for integers on a value of type {}", resolved.kind.name());
                self.refuse(at, Problem::new(found, "operators for texts"));
            }
        }
    }

    fn number(
        &mut self,
        at: &FieldPath,
        field: Field,
        kind: (u8, bool),
        test: &NumberTest,
        tests: &mut Tests,
    ) {
        let domain = numbers::Domain { kind, field: field.int() };
        match domain.test(test) {
            Ok(test) => {
                let kind = match test {
                    Test::Mask { .. } => column::LICTOR_COLUMN_MASK,
                    Test::Numbers { .. }
                    | Test::Ancestors { .. }
                    | Test::Lineage { .. }
                    | Test::Substring { .. }
                    | Test::Expression(_)
                    | Test::Scope
                    | Test::Notified(_)
                    | Test::Text { .. } => column::LICTOR_COLUMN_NUMBER,
                };
                tests.add(kind, Source::Field(field), test);
            }
            Err(problem) => self.refuse(at, problem),
        }
    }

    /// Whether the texts of a test can be compared; says what is wrong with them.
    pub(super) fn texts(&mut self, at: &FieldPath, test: &TextTest) -> bool {
        let limit = test.part.longest_value();
        for value in &test.values {
            if value.is_empty() || value.len() > limit || value.as_bytes().contains(&0) {
                let found = format!("a text of {} bytes", value.len());
                self.refuse(at, Problem::new(found, format!("texts of 1 to {limit} bytes without NUL")));
                return false;
            }
        }
        true
    }

    pub(super) fn text(&mut self, at: &FieldPath, source: Source, test: &TextTest, tests: &mut Tests) {
        if !self.texts(at, test) {
            return;
        }
        let kind = match (test.part, source.is_path()) {
            (TextMatch::Equal | TextMatch::Prefix, true) => column::LICTOR_COLUMN_PATH_PREFIX,
            (TextMatch::Equal | TextMatch::Prefix, false) => column::LICTOR_COLUMN_TEXT_PREFIX,
            (TextMatch::Postfix, true) => column::LICTOR_COLUMN_PATH_SUFFIX,
            (TextMatch::Postfix, false) => column::LICTOR_COLUMN_TEXT_SUFFIX,
            (TextMatch::Substring, _) => column::LICTOR_COLUMN_SUBSTRING,
            (TextMatch::SubstringAnyCase, _) => column::LICTOR_COLUMN_SUBSTRING_ANY_CASE,
        };
        let keys = test.values.iter().map(|value| text_key(test.part, value)).collect();
        let negated = test.negated;
        let test = match (test.part, source) {
            (TextMatch::Equal | TextMatch::Prefix | TextMatch::Postfix, _) => Test::Text { keys, negated },
            (_, Source::Field(_)) => Test::Substring { values: keys, negated },
            (_, Source::FileType(_) | Source::Endpoints(..) | Source::Fields | Source::Process(_)) => {
                let problem =
                    Problem::new("a search within a path of a program", "values that the hook reads");
                return self.refuse(at, problem);
            }
        };
        tests.add(kind, source, test);
    }
}

/// -EPERM: what a process that is about to be killed gets for an answer.
const EPERM: i16 = -1;

/// FNV-1a over what names a rule: the same in each revision. Hooks that a list stands for are all written at one place,
/// and differ by what they attach to.
fn limit_id(policy: &PolicyKey, at: &FieldPath, symbol: &str, rule: usize) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let parts = [policy.namespace.as_deref().unwrap_or(""), &policy.name, at.as_str(), symbol];
    let number = (rule as u64).to_le_bytes();
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0])).chain(number);
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ hash >> 32) as u32
}
