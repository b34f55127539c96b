//! What rules write into programs: over arguments of probes, and to registers.

use super::RulePlan;
use super::attach::Site;
use super::facts::{NoWay, NodeFacts, Symbols};
use super::fields::{Field, Resolved};
use super::place::Placing;
use super::refusal::Problem;
use super::user::{self, FoundPlace};
use crate::model::{
    AssignedValue, Assignment, FieldPath, FunctionName, HookTarget, MemberPath, ProgramWrite, Register,
    RegistersAction, Rule, UserPlace,
};
use lictor_node_worker_ebpf as wire;

/// What kernels that let programs write registers know of a program (`struct bpf_prog_aux`): whether it does. Linux 6.18.
const KNOWN_BY: (&str, &str) = ("bpf_prog_aux", "kprobe_write_ctx");

/// Whether the kernel lets programs write registers.
pub(super) fn check_kernel(facts: &NodeFacts) -> Result<(), Problem> {
    let (structure, member) = KNOWN_BY;
    let path = MemberPath::parse(member).unwrap_or_default();
    match facts.symbols.member(structure, &path) {
        Ok(_) | Err(NoWay::BitField { .. }) => Ok(()),
        Err(_) => {
            let found = format!("Override at a function of a program, on kernel {}", facts.kernel_release);
            let allowed = "kernels that let BPF programs write a program's registers: Linux 6.18 and newer";
            Err(Problem::new(found, allowed).hint("`Sigkill` ends the program before the function runs"))
        }
    }
}

impl Placing<'_> {
    /// Adds to `plan` what the rule writes to registers. Gives the field that it writes over.
    pub(super) fn writes(
        &mut self,
        rule: &Rule,
        args: &[Option<Resolved>],
        plan: &mut RulePlan,
    ) -> Option<Field> {
        match rule.actions.set.as_ref()? {
            ProgramWrite::Argument(action) => self.set(&rule.at, args.get(action.arg).copied()??),
            ProgramWrite::Registers(action) => {
                plan.flags |= wire::LICTOR_RULE_REGISTERS;
                plan.assignments = self.assignments(&rule.at, action);
                None
            }
        }
    }

    /// The field that is written over; says so when there is no place for 4 bytes.
    fn set(&mut self, at: &FieldPath, resolved: Resolved) -> Option<Field> {
        let field = resolved.field.filter(|field| field.is_number() && field.int().0 == 4);
        let found = match field {
            Some(field) if field.is_behind_register() => return Some(field),
            Some(_) => "Set on an argument that is no memory, but a register or a constant",
            None => "Set on an argument that is no integer of 4 bytes",
        };
        let allowed = "arguments that the program's note has as 4 bytes in memory, as `-4@-20(%rbp)`";
        self.refuse(at, Problem::new(found, allowed));
        None
    }

    /// The assignments of an action, each as the words of a `lictor_assignment`.
    fn assignments(&mut self, at: &FieldPath, action: &RegistersAction) -> Vec<[u64; 2]> {
        let mut assignments = action.assignments.clone();
        if action.returns
            && let Err(problem) = is_beginning(&self.hook.target)
        {
            self.refuse(at, problem);
        }
        if let Some(function) = &action.function {
            match self.distance(function) {
                Ok(distance) => assignments.push(Assignment {
                    to: Register::INSTRUCTION,
                    value: AssignedValue::Register(Register::INSTRUCTION, distance),
                }),
                Err(problem) => self.refuse(at, problem),
            }
        }
        let last = assignments.len().saturating_sub(1);
        assignments.iter().enumerate().map(|(place, one)| words(one, place < last)).collect()
    }

    /// How far behind the place of the hook a function of the same file is, once the file is loaded.
    fn distance(&mut self, function: &FunctionName) -> Result<i64, Problem> {
        let HookTarget::User { path, place, .. } = &self.hook.target else {
            return Err(Problem::new("another function", "hooks in programs and libraries"));
        };
        let there = UserPlace::Function { name: function.clone(), ref_counter: 0, at_end: false };
        let symbols = &*self.facts.symbols;
        let found =
            symbols.user_places(path, &there).map_err(|problem| user::missing(path, &there, problem))?;
        self.asked.push((path.clone(), there.clone()));
        let [found] = &found[..] else {
            let found = format!("`{there}`, of which the file `{path}` has {}", found.len());
            return Err(Problem::new(found, "one function").hint("name it by `argNewAddr` or `argNewOffset`"));
        };
        let here = here(symbols, path, place, self.site);
        let Some(here) = here.filter(|here| here.site.file == found.site.file) else {
            return Err(user::replaced(path));
        };
        Ok(found.address.wrapping_sub(here.address).cast_signed())
    }
}

/// The place of the hook once more, with its address.
fn here(symbols: &dyn Symbols, path: &str, place: &UserPlace, site: &Site) -> Option<FoundPlace> {
    let places = symbols.user_places(path, place).ok()?;
    places.into_iter().find(|found| Some(&found.site) == site.user.as_ref())
}

/// Where a function begins, the address that it returns to is the innermost value on the stack, and nowhere else.
fn is_beginning(target: &HookTarget) -> Result<(), Problem> {
    let within = if let HookTarget::User { place: UserPlace::Function { name, .. }, .. } = target {
        matches!(name, FunctionName::Symbol { plus: 1.., .. })
    } else {
        false
    };
    if within {
        let problem = Problem::new("`argError` within a function", "the beginning of a function");
        return Err(problem.hint("only there it can return at once"));
    }
    Ok(())
}

/// The words of a `lictor_assignment`.
fn words(assignment: &Assignment, more: bool) -> [u64; 2] {
    let Assignment { to, value } = assignment;
    let (kind, from, number) = match value {
        AssignedValue::Number(number) => (wire::LICTOR_ASSIGN_NUMBER, Register::RESULT, *number),
        AssignedValue::Register(from, plus) => (wire::LICTOR_ASSIGN_REGISTER, *from, *plus),
        AssignedValue::Memory(at, plus) => (wire::LICTOR_ASSIGN_MEMORY, *at, *plus),
    };
    let bytes = |register: Register| u64::from(register.offset()) | u64::from(register.width()) << 16;
    let (to, from) = (bytes(*to) | u64::from(kind) << 24, bytes(from) | u64::from(more) << 24);
    [to | from << 32, number.cast_unsigned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_contract() {
        let register = |name| Register::named(name).unwrap();
        let value = AssignedValue::Memory(register("rsp"), -8);
        let [first, second] = words(&Assignment { to: register("eax"), value }, true);
        let bytes = [first, second].map(u64::to_ne_bytes).concat();
        let read: wire::lictor_assignment = wire::read(&bytes).unwrap();
        assert_eq!((read.to, read.to_width), (80, 4));
        assert_eq!((read.from, read.from_width, read.more, read.number), (152, 8, 1, -8));
        assert_eq!(u32::from(read.kind), wire::LICTOR_ASSIGN_MEMORY);
    }
}
