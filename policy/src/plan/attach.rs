//! Where a hook of a policy attaches on this node, and why.

use super::facts::{NodeFacts, Parameter, Signature, TypeClass};
use super::fields::{Field, Reader, c_class};
use super::refusal::Problem;
use super::{Attach, EventKind, HookPoint, UserSite, module, user};
use crate::model::{
    ABI_32, ArgKind, ArgSource, CALLS_32, FieldPath, FunctionPattern, Hook, HookTarget, MAPPING_HOOK,
    Predicate,
};
use crate::violation::nearest;
use lictor_node_worker_ebpf as wire;

/// Signal number of SIGKILL.
pub(super) const SIGKILL: u8 = 9;

/// Names to suggest for one that does not exist.
const SUGGESTIONS_MAX: usize = 3;

/// Arguments of a function that a trampoline can pass on, on every supported kernel.
const TRAMPOLINE_ARGUMENTS_MAX: usize = 6;

/// `security_*` functions whose LSM hook has another name, without the prefixes: function, hook.
const HOOK_NAMES: [(&str, &str); 4] = [
    ("bprm_check", "bprm_check_security"),
    ("create_user_ns", "userns_create"),
    ("prepare_creds", "cred_prepare"),
    ("transfer_creds", "cred_transfer"),
];

/// LSM hooks that newer kernels let no BPF program attach to: what they return is not an errno, or not checked.
const CLOSED_HOOKS: [&str; 11] = [
    "audit_rule_match",
    "getprocattr",
    "getselfattr",
    "inode_copy_up_xattr",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_need_killpriv",
    "ismaclabel",
    "key_getsecurity",
    "setprocattr",
    "vm_enough_memory",
];

/// `security_mmap_file(file, prot, flags)` calls the hook `mmap_file(file, reqprot, prot, flags)` with its own `prot`
/// as `reqprot`: positions in the hook by parameter of the function, and the other way round.
const MMAP_FILE_TO_HOOK: [Option<u8>; 3] = [Some(0), Some(1), Some(3)];
const MMAP_FILE_FROM_HOOK: [Option<u8>; 4] = [Some(0), Some(1), None, Some(2)];

/// The same for a rule that asks for `prot`: where the function is attached to, what is asked for has to stand for what the
/// mapping gets.
const MAPPING_FROM_HOOK: [Option<u8>; 4] = [Some(0), Some(1), Some(1), Some(2)];

/// The strongest action of a hook's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Strongest {
    /// Report, or count.
    Report,
    /// Send a signal that need not end the process.
    Signal,
    /// Kill the process.
    Kill,
    /// Return an errno instead of the operation.
    Deny,
}

/// What a hook's rules want from its attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "any of them can go with any other")]
pub(super) struct Wants {
    /// The strongest action of its rules.
    pub(super) action: Strongest,
    /// The hash of the file in question.
    pub(super) hash: bool,
    /// The hook sees the function's end.
    pub(super) on_return: bool,
    /// The hook is a call of the policy's enforcer.
    pub(super) enforcer: bool,
    /// What only functions of programs are asked for.
    pub(super) program: ProgramWants,
    /// What only the end of the function can tell, if the rules need that: where that is written.
    pub(super) needs_end: Option<FieldPath>,
}

/// What a hook's rules want from its attachment in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProgramWants {
    /// Rules write registers.
    pub(super) registers: bool,
    /// The hook shows or tests what the function is called with.
    pub(super) arguments: bool,
}

impl Wants {
    pub(super) fn of(hook: &Hook) -> Self {
        let copied = hook.args.iter().find(|arg| arg.return_copy).map(|arg| arg.at.clone());
        let mut predicates = hook.rules.iter().flat_map(|rule| &rule.predicates);
        let tested = predicates.find_map(Predicate::asks_return).cloned();
        let late = hook.rules.iter().find(|rule| rule.actions.late);
        let late = late.map(|rule| rule.at.member("matchReturnActions"));
        let strongest = hook.rules.iter().map(|rule| match (rule.actions.deny, rule.actions.signal) {
            (Some(_), _) => Strongest::Deny,
            (None, Some(SIGKILL)) => Strongest::Kill,
            (None, Some(_)) => Strongest::Signal,
            (None, None) => Strongest::Report,
        });
        Self {
            action: strongest.max().unwrap_or(Strongest::Report),
            hash: hook.rules.iter().any(|rule| rule.actions.hash),
            enforcer: hook.is_enforcer(),
            program: ProgramWants {
                registers: hook.rules.iter().any(|rule| rule.actions.writes_registers()),
                arguments: hook
                    .args
                    .iter()
                    .any(|arg| arg.source == ArgSource::Argument && arg.kind != ArgKind::Nop),
            },
            on_return: hook.on_return || copied.is_some(),
            needs_end: tested.or(copied).or(late),
        }
    }

    /// Whether the return value of the program is to decide the operation.
    fn verdict(&self) -> bool {
        self.denies() || self.action == Strongest::Kill && self.needs_end.is_none()
    }

    fn denies(&self) -> bool {
        self.action == Strongest::Deny
    }

    /// What its rules want of a place that only watches, for people.
    pub(super) fn wish(&self) -> &'static str {
        if self.action >= Strongest::Signal {
            "rules report or signal, and nothing here can be denied"
        } else {
            "rules only report"
        }
    }
}

/// A hook's place on this node.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) point: HookPoint,
    /// One sentence.
    pub(super) reason: String,
    /// `LICTOR_SHAPE_*`
    pub(super) flags: u8,
    pub(super) argument_count: u8,
    pub(super) reader: Reader,
    /// What the program returns decides the operation.
    pub(super) denies: bool,
    pub(super) function_name: String,
    pub(super) event: EventKind,
    /// The place in a program or library.
    pub(super) user: Option<UserSite>,
    /// The number of the system call that an event is about, where not all are about the same.
    pub(super) called: Option<Field>,
}

/// Where `target` attaches: a probe of a program may be at several places, anything else is at one. `Err` with the place of
/// a field when that field is the cause.
pub(super) fn sites(
    target: &HookTarget,
    wants: &Wants,
    facts: &NodeFacts,
) -> Result<Vec<Site>, (Problem, Option<FieldPath>)> {
    if !facts.btf {
        let found = format!("kernel {} without BTF (/sys/kernel/btf/vmlinux)", facts.kernel_release);
        let allowed = "kernels built with CONFIG_DEBUG_INFO_BTF: by it the programs find what they read";
        return Err((Problem::new(found, allowed), None));
    }
    if wants.denies()
        && let Some(at) = &wants.needs_end
    {
        let allowed = "actions that can come after the operation, as this value does: Post, Sigkill, Signal";
        let problem = Problem::new("Override in a hook that asks for what the function returns", allowed)
            .hint("give the rule that denies a hook of its own");
        return Err((problem, Some(at.clone())));
    }
    let site = match target {
        HookTarget::Function(name) => match name.strip_prefix(&facts.syscall_prefix) {
            Some(call) if !call.is_empty() => syscall(call, wants, facts),
            Some(_) | None => function(name, wants, facts),
        },
        HookTarget::Functions(pattern) => {
            return functions(pattern, wants, facts).map_err(|problem| (problem, None));
        }
        HookTarget::Syscall(name) => syscall(name, wants, facts),
        HookTarget::Syscalls => every_syscall(wants, facts),
        HookTarget::Syscall32(name) => syscall_32(name, wants, facts),
        HookTarget::Tracepoint { subsystem, event, raw: false } => tracepoint(subsystem, event, wants, facts),
        HookTarget::Tracepoint { subsystem, event, raw: true } => {
            raw_tracepoint(subsystem, event, wants, facts)
        }
        HookTarget::Lsm(hook) => lsm(hook, "as the policy names it", wants, facts),
        HookTarget::Mapping => mapping(wants, facts),
        HookTarget::User { path, place, .. } => {
            return user::sites(path, place, wants, facts).map_err(|problem| (problem, None));
        }
    };
    site.map(|site| vec![site]).map_err(|problem| (problem, None))
}

/// A place for each function that a pattern fits.
fn functions(pattern: &FunctionPattern, wants: &Wants, facts: &NodeFacts) -> Result<Vec<Site>, Problem> {
    let names = facts.symbols.fitting_functions(pattern);
    if names.is_empty() {
        let found = format!("the pattern `{}`, which no function fits", pattern.as_str());
        return Err(Problem::missing(found, "patterns that fit functions of this kernel"));
    }
    // A node has no room for more hook points than this.
    if names.len() > wire::LICTOR_MAX_HOOKS as usize {
        let found = format!("the pattern `{}`, which {} functions fit", pattern.as_str(), names.len());
        let allowed =
            format!("patterns that at most {} functions of this kernel fit", wire::LICTOR_MAX_HOOKS);
        return Err(Problem::new(found, allowed).hint("make it narrower, or several policies of it"));
    }
    names.iter().map(|name| function(name, wants, facts)).collect()
}

fn function(name: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let signature = facts.symbols.function(name);
    if wants.verdict()
        && let Some(checked) = name.strip_prefix("security_")
    {
        let hook =
            HOOK_NAMES.iter().find(|(function, _)| *function == checked).map_or(checked, |(_, hook)| hook);
        match verdict_on_function(name, hook, signature.as_ref(), wants, facts) {
            Ok(site) => return Ok(site),
            Err(problem) if wants.denies() => return Err(problem),
            Err(_) => {}
        }
    }
    let of_module = if signature.is_none() { facts.symbols.module_function(name) } else { None };
    if signature.is_none() && of_module.is_none() && !facts.symbols.probeable(name) {
        let near = facts.symbols.nearest_functions(name, SUGGESTIONS_MAX);
        return Err(Problem::missing(format!("function `{name}`"), FUNCTIONS).nearest(&near));
    }
    if wants.denies() {
        return Err(cannot_deny(&format!("function `{name}`"), wants));
    }
    if let Some(found) = of_module {
        return module::site(found, wants);
    }
    let handed = handed(name, signature.as_ref(), "BTF");
    let reader = Reader::Call { function: name.to_owned(), signature, positions: None, module: None };
    observe(name, name, wants, handed, reader, 0)
}

/// What names of functions may name.
const FUNCTIONS: &str = "functions of this kernel, and of its modules that are loaded";

/// How many arguments programs are handed that attach to a function by what `btf` tells of it; why none can.
pub(super) fn handed(symbol: &str, signature: Option<&Signature>, btf: &str) -> Result<u8, String> {
    match signature.map(|signature| signature.parameters.len()) {
        None => Err(format!("{symbol} is not in {btf}")),
        Some(count) if count > TRAMPOLINE_ARGUMENTS_MAX => {
            Err(format!("{symbol} has more than {TRAMPOLINE_ARGUMENTS_MAX} arguments"))
        }
        Some(count) => Ok(count as u8),
    }
}

fn cannot_deny(what: &str, wants: &Wants) -> Problem {
    let allowed = "security_* functions and lsmhooks: only these are asked before the operation is done";
    if wants.enforcer {
        let hint = "name the security_* functions that the operation passes in `calls`, or leave out `argError`: \
                    `argSig` alone signals at any call";
        let allowed = "security_* functions: only these are asked before the operation is done";
        return Problem::new(format!("argError at {what}"), allowed).hint(hint);
    }
    Problem::new(format!("Override on {what}"), allowed)
        .hint("hook the security_* function that the operation passes, or use Sigkill")
}

/// A `security_*` function whose return value a rule wants to decide.
fn verdict_on_function(
    name: &str,
    hook: &str,
    signature: Option<&Signature>,
    wants: &Wants,
    facts: &NodeFacts,
) -> Result<Site, Problem> {
    let wish = if wants.denies() { "a rule denies" } else { "a rule kills, which also denies" };
    let stub = facts.symbols.function(&format!("bpf_lsm_{hook}"));
    let why_not_lsm = match &stub {
        None => format!("this kernel has no LSM hook {hook}"),
        Some(_) if CLOSED_HOOKS.contains(&hook) => format!("the LSM hook {hook} takes no programs"),
        Some(_) if !facts.bpf_lsm => BPF_LSM_OFF.to_owned(),
        Some(stub) if !returns_errno(stub) => {
            return Err(Problem::new(
                format!("Override on function `{name}`"),
                format!("functions whose return value decides: the LSM hook {hook} returns nothing"),
            ));
        }
        Some(stub) => match positions(hook, signature, stub, true) {
            Ok(positions) => {
                return Ok(Site {
                    point: HookPoint { attach: Attach::Lsm, symbol: hook.to_owned() },
                    reason: format!("LSM hook {hook} for {name}: {wish}, and BPF LSM is on"),
                    flags: 0,
                    argument_count: stub.parameters.len() as u8,
                    reader: Reader::Call {
                        function: name.to_owned(),
                        signature: Some(signature.unwrap_or(stub).clone()),
                        positions,
                        module: None,
                    },
                    denies: true,
                    function_name: name.to_owned(),
                    event: EventKind::Kprobe,
                    user: None,
                    called: None,
                });
            }
            Err(()) => format!("the LSM hook {hook} has other arguments"),
        },
    };
    let Some(signature) = signature else {
        let near = facts.symbols.nearest_functions(name, SUGGESTIONS_MAX);
        let found = format!("function `{name}`");
        let problem = if facts.symbols.probeable(name) {
            Problem::new(format!("Override on {found}"), format!("functions in BTF: {why_not_lsm}"))
        } else {
            Problem::missing(found, FUNCTIONS).nearest(&near)
        };
        return Err(problem);
    };
    let reader = Reader::Call {
        function: name.to_owned(),
        signature: Some(signature.clone()),
        positions: None,
        module: None,
    };
    fmod_ret(name, name, signature, reader, EventKind::Kprobe, &format!("{wish}, and {why_not_lsm}"))
}

/// The kernel's function that computes hashes of files (`security/integrity/ima/ima_main.c`).
const IMA_HASH: &str = "ima_file_hash";

fn has_ima(facts: &NodeFacts) -> bool {
    facts.symbols.probeable(IMA_HASH)
}

/// Whether hashes can be computed behind LSM hooks.
pub(super) fn can_hash(facts: &NodeFacts) -> bool {
    facts.btf && facts.bpf_lsm && has_ima(facts)
}

/// The LSM hook at which a rule of `hook` wants the file's hash.
pub(super) fn hashed_hook(hook: &Hook) -> Option<&str> {
    let HookTarget::Lsm(name) = &hook.target else { return None };
    hook.rules.iter().any(|rule| rule.actions.hash).then_some(name)
}

const BPF_LSM_OFF: &str = "BPF LSM is off (no bpf in /sys/kernel/security/lsm)";

/// The return value of function `symbol` replaced by the program's.
fn fmod_ret(
    symbol: &str,
    function_name: &str,
    signature: &Signature,
    reader: Reader,
    event: EventKind,
    why: &str,
) -> Result<Site, Problem> {
    if !returns_errno(signature) || signature.parameters.len() > TRAMPOLINE_ARGUMENTS_MAX {
        let allowed =
            format!("functions that return an integer and have at most {TRAMPOLINE_ARGUMENTS_MAX} arguments");
        return Err(Problem::new(format!("a verdict on function `{symbol}`"), allowed));
    }
    Ok(Site {
        point: HookPoint { attach: Attach::FmodRet, symbol: symbol.to_owned() },
        reason: format!("fmod_ret on {symbol}: {why}"),
        flags: 0,
        argument_count: signature.parameters.len() as u8,
        reader,
        denies: true,
        function_name: function_name.to_owned(),
        event,
        user: None,
        called: None,
    })
}

/// The beginning or the end of function `symbol`; `handed` as [`handed`] says.
fn observe(
    symbol: &str,
    function_name: &str,
    wants: &Wants,
    handed: Result<u8, String>,
    reader: Reader,
    flags: u8,
) -> Result<Site, Problem> {
    let wish = wants.wish();
    let (attach, reason) = match (&handed, wants.on_return) {
        (Ok(_), false) => (Attach::Fentry, format!("fentry on {symbol}: {wish}")),
        (Ok(_), true) => {
            (Attach::Fexit, format!("fexit on {symbol}: {wish}, and the return value is asked for"))
        }
        (Err(why_not), false) => (Attach::Kprobe, format!("kprobe on {symbol}: {wish}, and {why_not}")),
        (Err(why_not), true) => {
            return Err(Problem::new(
                format!("the return value of `{symbol}`"),
                format!("functions that fexit can attach to: {why_not}"),
            ));
        }
    };
    Ok(Site {
        point: HookPoint { attach, symbol: symbol.to_owned() },
        reason,
        flags,
        argument_count: handed.unwrap_or(0),
        reader,
        denies: false,
        function_name: function_name.to_owned(),
        event: EventKind::Kprobe,
        user: None,
        called: None,
    })
}

/// The nearest of the functions that begin with `prefix`, by what follows it.
fn near(name: &str, prefix: &str, facts: &NodeFacts) -> Vec<String> {
    // With the prefix a slip looks small, so more are asked for than are left.
    let functions = facts.symbols.nearest_functions(&format!("{prefix}{name}"), 4 * SUGGESTIONS_MAX);
    let bare: Vec<&str> = functions.iter().filter_map(|function| function.strip_prefix(prefix)).collect();
    nearest(name, bare, SUGGESTIONS_MAX).into_iter().map(str::to_owned).collect()
}

fn syscall(name: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let symbol = format!("{}{name}", facts.syscall_prefix);
    let signature = facts.symbols.function(&symbol);
    if signature.is_none() && !facts.symbols.probeable(&symbol) {
        let near = near(name, &facts.syscall_prefix, facts).into_iter().map(|near| format!("sys_{near}"));
        let near: Vec<String> = near.collect();
        let found = format!("system call `{name}`");
        // `syscall` is true where nothing is written.
        if facts.symbols.function(name).is_some() || facts.symbols.probeable(name) {
            let allowed =
                format!("system calls of this kernel; `syscall: false` stands for the function `{name}`");
            return Err(Problem::missing(found, allowed));
        }
        return Err(Problem::missing(found, "system calls of this kernel").nearest(&near));
    }
    if wants.denies() {
        return Err(cannot_deny(&format!("system call `{name}`"), wants));
    }
    // The trace event of a system call tells its arguments, which the function itself does not.
    let parameters = facts.symbols.tracepoint("syscalls", &format!("sys_enter_{name}")).map(|fields| {
        let from =
            fields.iter().position(|field| field.name == "__syscall_nr").map_or(fields.len(), |at| at + 1);
        fields[from..]
            .iter()
            .map(|field| Parameter {
                name: field.name.clone(),
                type_name: field.type_name.clone(),
                class: c_class(&field.type_name).unwrap_or(TypeClass::Integer { width: 8, signed: false }),
            })
            .collect()
    });
    let reader = Reader::Syscall { function: format!("sys_{name}"), parameters };
    observe_call(&symbol, wants, signature.as_ref(), reader)
}

/// The function of a system call, whose arguments stand in registers that it is handed.
fn observe_call(
    symbol: &str,
    wants: &Wants,
    signature: Option<&Signature>,
    reader: Reader,
) -> Result<Site, Problem> {
    observe(symbol, symbol, wants, handed(symbol, signature, "BTF"), reader, wire::LICTOR_SHAPE_SYSCALL as u8)
}

/// A system call of 32-bit programs, which has a function of its own.
fn syscall_32(name: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let known = |symbol: &String| facts.symbols.function(symbol).is_some() || facts.symbols.probeable(symbol);
    let Some(symbol) = CALLS_32.iter().map(|prefix| format!("{prefix}{name}")).find(known) else {
        let near = near(name, CALLS_32[1], facts).into_iter().map(|near| format!("{ABI_32}/sys_{near}"));
        let near: Vec<String> = near.collect();
        let found = format!("system call `{name}` of 32-bit programs");
        return Err(Problem::missing(found, "system calls that this kernel has for them").nearest(&near));
    };
    if wants.denies() {
        return Err(cannot_deny(&format!("system call `{name}` of 32-bit programs"), wants));
    }
    let signature = facts.symbols.function(&symbol);
    let reader = Reader::Syscall32 { function: format!("{ABI_32}/sys_{name}") };
    observe_call(&symbol, wants, signature.as_ref(), reader)
}

/// One place that every system call passes, with its number, instead of hundreds of functions.
fn every_syscall(wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    if wants.denies() {
        return Err(cannot_deny("every system call", wants));
    }
    let mut site = raw_tracepoint("raw_syscalls", "sys_enter", wants, facts)?;
    site.reason = format!("raw tracepoint {}, which every system call passes", site.point.symbol);
    site.reader = Reader::Syscall { function: "every system call".to_owned(), parameters: Some(Vec::new()) };
    site.called = Some(Field::syscall_number(SYS_ENTER_NUMBER));
    site.event = EventKind::Kprobe;
    Ok(site)
}

/// Which argument of the tracepoint `raw_syscalls/sys_enter` is the number; the first one points to the registers.
const SYS_ENTER_NUMBER: u8 = 1;

fn tracepoint(subsystem: &str, event: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let symbol = format!("{subsystem}/{event}");
    let Some(fields) = facts.symbols.tracepoint(subsystem, event) else {
        return Err(no_tracepoint(subsystem, event, facts));
    };
    if wants.denies() {
        return Err(cannot_deny(&format!("tracepoint `{symbol}`"), wants));
    }
    Ok(Site {
        point: HookPoint { attach: Attach::Tracepoint, symbol: symbol.clone() },
        reason: format!("tracepoint {symbol}, as the policy names it"),
        flags: 0,
        argument_count: 0,
        reader: Reader::Record { event: symbol.clone(), fields },
        denies: false,
        function_name: symbol,
        event: EventKind::Tracepoint,
        user: None,
        called: None,
    })
}

fn raw_tracepoint(subsystem: &str, event: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let symbol = format!("{subsystem}/{event}");
    let Some(signature) = facts.symbols.raw_tracepoint(event) else {
        let problem = no_tracepoint(subsystem, event, facts);
        return Err(match facts.symbols.tracepoint(subsystem, event) {
            // System calls have records and no tracepoints, those of modules have BTF of their own.
            Some(_) => Problem::new(format!("raw tracepoint `{symbol}`"), "tracepoints in the kernel's BTF")
                .hint("leave out `raw` and count the fields of the tracepoint's `format` file"),
            None => problem,
        });
    };
    if wants.denies() {
        return Err(cannot_deny(&format!("tracepoint `{symbol}`"), wants));
    }
    Ok(Site {
        point: HookPoint { attach: Attach::RawTracepoint, symbol: symbol.clone() },
        reason: format!("raw tracepoint {symbol}, as the policy names it"),
        flags: 0,
        argument_count: signature.parameters.len() as u8,
        reader: Reader::Call {
            function: symbol.clone(),
            signature: Some(signature),
            positions: None,
            module: None,
        },
        denies: false,
        function_name: symbol,
        event: EventKind::Tracepoint,
        user: None,
        called: None,
    })
}

fn no_tracepoint(subsystem: &str, event: &str, facts: &NodeFacts) -> Problem {
    let near = facts.symbols.nearest_tracepoints(subsystem, event, SUGGESTIONS_MAX);
    Problem::missing(format!("tracepoint `{subsystem}/{event}`"), "tracepoints of this kernel").nearest(&near)
}

/// The LSM hook that is asked when a file is mapped, for events of their own kind.
fn mapping(wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let mut site = lsm(MAPPING_HOOK, "which files pass that are mapped", wants, facts)?;
    if usize::from(site.argument_count) == MMAP_FILE_TO_HOOK.len()
        && let Reader::Call { positions, .. } = &mut site.reader
    {
        *positions = Some(&MAPPING_FROM_HOOK);
    }
    Ok(Site { event: EventKind::Loader, ..site })
}

/// LSM hook `hook`; `named` continues "LSM hook ..., ".
fn lsm(hook: &str, named: &str, wants: &Wants, facts: &NodeFacts) -> Result<Site, Problem> {
    let function = HOOK_NAMES.iter().find(|(_, name)| *name == hook).map_or(hook, |(function, _)| function);
    let function = format!("security_{function}");
    let stub = facts.symbols.function(&format!("bpf_lsm_{hook}"));
    let checked = facts.symbols.function(&function);
    let Some(signature) = stub.as_ref().or(checked.as_ref()) else {
        let near = near(hook, "bpf_lsm_", facts);
        return Err(Problem::missing(format!("LSM hook `{hook}`"), "LSM hooks of this kernel").nearest(&near));
    };
    let denies = returns_errno(signature);
    if wants.denies() && !denies {
        let allowed = "LSM hooks that return an errno: what this one returns decides nothing";
        return Err(Problem::new(format!("Override on LSM hook `{hook}`"), allowed));
    }
    let call = |positions| Reader::Call {
        function: hook.to_owned(),
        signature: Some(signature.clone()),
        positions,
        module: None,
    };
    let closed = CLOSED_HOOKS.contains(&hook);
    if wants.hash && !has_ima(facts) {
        return Err(Problem::new(
            "`imaHash`",
            "kernels with IMA (CONFIG_IMA), which this one is built without",
        ));
    }
    if facts.bpf_lsm && stub.is_some() && !closed {
        return Ok(Site {
            point: HookPoint { attach: Attach::Lsm, symbol: hook.to_owned() },
            reason: format!("LSM hook {hook}, {named}: BPF LSM is on"),
            flags: 0,
            argument_count: signature.parameters.len() as u8,
            reader: call(None),
            denies,
            function_name: hook.to_owned(),
            event: EventKind::Lsm,
            user: None,
            called: None,
        });
    }
    let why = match (closed, facts.bpf_lsm) {
        (true, _) => "this hook takes no programs",
        (false, false) => BPF_LSM_OFF,
        (false, true) => "BTF does not know the LSM hook",
    };
    if wants.hash {
        let allowed = format!("kernels where programs can be at the LSM hook: {why}");
        return Err(Problem::new("`imaHash`", allowed));
    }
    let Some(checked) = &checked else {
        let allowed = format!("hooks whose function is in BTF: {function} is not");
        return Err(Problem::new(format!("LSM hook `{hook}`, and {why}"), allowed));
    };
    let Ok(positions) = positions(hook, Some(checked), signature, false) else {
        let allowed = format!("hooks with the arguments of their function: {function} has others");
        return Err(Problem::new(format!("LSM hook `{hook}`, and {why}"), allowed));
    };
    if denies {
        return fmod_ret(&function, hook, checked, call(positions), EventKind::Lsm, why);
    }
    let site = observe(&function, hook, wants, handed(&function, Some(checked), "BTF"), call(positions), 0)?;
    Ok(Site { event: EventKind::Lsm, reason: format!("{} ({why})", site.reason), ..site })
}

/// Whether the function's return value is an integer.
fn returns_errno(signature: &Signature) -> bool {
    matches!(&signature.returns, Some(Parameter { class: TypeClass::Integer { .. }, .. }))
}

/// Where the arguments of a `security_*` function stand in its LSM hook (`to_hook`), or those of the hook in the
/// function; `Ok(None)` = at the same positions, `Err` = not known.
fn positions(
    hook: &str,
    function: Option<&Signature>,
    stub: &Signature,
    to_hook: bool,
) -> Result<Option<&'static [Option<u8>]>, ()> {
    let Some(function) = function else {
        return if hook == "mmap_file" { Err(()) } else { Ok(None) };
    };
    let same = function.parameters.len() == stub.parameters.len()
        && function.parameters.iter().zip(&stub.parameters).all(|(a, b)| a.class == b.class);
    if same {
        return Ok(None);
    }
    let counts = (function.parameters.len(), stub.parameters.len());
    if hook == "mmap_file" && counts == (MMAP_FILE_TO_HOOK.len(), MMAP_FILE_FROM_HOOK.len()) {
        return Ok(Some(if to_hook { &MMAP_FILE_TO_HOOK } else { &MMAP_FILE_FROM_HOOK }));
    }
    Err(())
}
