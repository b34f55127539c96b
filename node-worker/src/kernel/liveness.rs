//! Which registers are still read, and so which instructions give what nobody reads.
//!
//! Strong liveness over registers, backwards along all ways: what only an instruction reads that is left out itself is not
//! read. A program compiled for every shape keeps much at hand that one shape never asks for.

use super::instruction::{Flow, Instruction, class};
use super::specialise::{Fate, REGISTERS};

/// Bit n: register n.
type Registers = u16;

const RESULT: Registers = 1;
/// Registers 1 to 5, which a call may read and does not keep.
const ARGUMENTS: Registers = 0b11_1110;

/// What an instruction reads and writes.
struct Effect {
    reads: Registers,
    writes: Registers,
    /// Writing is all that it does.
    pure: bool,
}

/// Marks the instructions of `found` that give what nobody reads as [`Fate::Unread`]. `None` = an instruction is not
/// understood.
pub(super) fn mark_unread(code: &[Instruction], found: &mut [Fate]) -> Option<()> {
    let mut live = vec![0; code.len() + 1];
    let mut unread = vec![false; code.len()];
    // Loops bring more from below: once more, until nothing changes.
    loop {
        let mut changed = false;
        for index in (0..code.len()).rev().filter(|index| found[*index] != Fate::Unreached) {
            let after = live_after(code, found, &live, index)?;
            let effect = effect(code, found, index)?;
            unread[index] = effect.pure && effect.writes & after == 0;
            let before = if unread[index] { after } else { after & !effect.writes | effect.reads };
            changed |= live[index] != before;
            live[index] = before;
        }
        if !changed {
            break;
        }
    }
    for index in (0..code.len()).filter(|index| unread[*index]) {
        found[index] = Fate::Unread;
        if code[index].is_wide() {
            found[index + 1] = Fate::Unread;
        }
    }
    Some(())
}

/// What is read behind an instruction.
fn live_after(code: &[Instruction], found: &[Fate], live: &[Registers], index: usize) -> Option<Registers> {
    let next = index + 1;
    Some(match code[index].flow(index)? {
        // The second half passes on what is read behind it.
        Flow::Next | Flow::Call(_) | Flow::Helper => *live.get(next)?,
        Flow::Jump(target) => *live.get(target)?,
        Flow::Branch(target) => match found[index] {
            Fate::Taken => *live.get(target)?,
            Fate::Ignored => *live.get(next)?,
            Fate::Unreached | Fate::Kept | Fate::Gives(_) | Fate::Unread => {
                *live.get(target)? | *live.get(next)?
            }
        },
        Flow::Exit => 0,
    })
}

fn effect(code: &[Instruction], found: &[Fate], index: usize) -> Option<Effect> {
    let instruction = code[index];
    // The second half of a wide load goes with the first one.
    if index > 0 && code[index - 1].is_wide() {
        return Some(Effect { reads: 0, writes: 0, pure: false });
    }
    let (to, from) = (register(instruction.to)?, register(instruction.from)?);
    let operand = if instruction.takes_register() { from } else { 0 };
    if let Fate::Gives(number) = found[index]
        && Instruction::put(instruction.to, number).is_some()
    {
        return Some(Effect { reads: 0, writes: to, pure: true });
    }
    Some(match instruction.flow(index)? {
        Flow::Jump(_) => Effect { reads: 0, writes: 0, pure: false },
        Flow::Branch(_) if matches!(found[index], Fate::Taken | Fate::Ignored) => {
            Effect { reads: 0, writes: 0, pure: false }
        }
        Flow::Branch(_) => Effect { reads: to | operand, writes: 0, pure: false },
        // Functions of the program are verified by their types: all their arguments have to be there.
        Flow::Call(_) => Effect { reads: ARGUMENTS, writes: RESULT | ARGUMENTS, pure: false },
        Flow::Helper => {
            Effect { reads: arguments(instruction.immediate), writes: RESULT | ARGUMENTS, pure: false }
        }
        Flow::Exit => Effect { reads: RESULT, writes: 0, pure: false },
        // A function that is no longer named would be code that nothing leads to.
        Flow::Next if instruction.is_wide() => {
            Effect { reads: 0, writes: to, pure: instruction.function_taken(index).is_none() }
        }
        Flow::Next => match instruction.class() {
            class::ALU | class::ALU64 if instruction.is_move() => {
                Effect { reads: operand, writes: to, pure: true }
            }
            class::ALU | class::ALU64 => Effect { reads: to | operand, writes: to, pure: true },
            class::LDX => Effect { reads: from, writes: to, pure: instruction.loaded_bytes().is_some() },
            class::ST => Effect { reads: to, writes: 0, pure: false },
            // Atomic operations may compare with register 0.
            class::STX => Effect { reads: to | from | RESULT, writes: 0, pure: false },
            _ => return None,
        },
    })
}

/// The arguments of a helper, by its number in `enum bpf_func_id` of the kernel's `bpf.h`; all five of those that are not
/// listed.
fn arguments(helper: i32) -> Registers {
    let count = match helper {
        // ktime_get_ns, get_smp_processor_id, get_current_pid_tgid, get_current_task, get_current_task_btf
        5 | 8 | 14 | 35 | 158 => 0,
        // send_signal
        109 => 1,
        // map_lookup_elem, map_delete_elem
        1 | 3 => 2,
        // tail_call, probe_read_user, probe_read_kernel, and those of strings, get_func_arg
        12 | 112..=115 | 183 => 3,
        // map_update_elem, get_stack, ringbuf_output, loop
        2 | 67 | 130 | 181 => 4,
        _ => 5,
    };
    ARGUMENTS & ((1 << (count + 1)) - 1)
}

fn register(number: u8) -> Option<Registers> {
    (usize::from(number) < REGISTERS).then(|| 1 << number)
}
