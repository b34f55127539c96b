//! Stacks of the programs: whatever of them a hook point uses, the verifier must take it (`check_max_stack_depth` of
//! `kernel/bpf/verifier.c`). Which parts a policy makes it look at cannot be tried out one by one.

use super::super::instruction::{Flow, Instruction, class, decode};
use super::*;
use std::ops::Range;

/// `MAX_BPF_STACK`, bytes of all functions that are in the midst of running.
const STACK_BYTES: usize = 512;
/// `MAX_CALL_FRAMES`
const FRAMES: usize = 8;
/// What may stand on the stack below a function that goes on in another program.
const BELOW_TAIL_CALL_BYTES: usize = 256;
/// A frame takes a multiple of this.
const FRAME_BYTES: usize = 32;
const FRAME_POINTER: u8 = 10;
/// Number of the helper `bpf_tail_call`.
const TAIL_CALL: i32 = 12;

/// A program and the functions that it is linked with; the first one is its own.
struct Linked {
    code: Vec<Instruction>,
    functions: Vec<Range<usize>>,
}

fn linked(bytes: &[u8]) -> Vec<(String, Linked)> {
    let mut object = Object::parse(bytes).unwrap();
    let maps = object.maps.clone();
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(maps.iter().map(|(name, map)| (name.as_str(), RODATA_FD, map)), &text).unwrap();
    object.relocate_calls(&text).unwrap();
    let of_program = |(name, program): (&String, &aya_obj::Program)| {
        let function = &object.functions[&program.function_key()];
        let code = decode(&instruction_bytes(&function.instructions)).unwrap();
        let begins: Vec<usize> =
            function.func_info.func_info.iter().map(|info| info.insn_off as usize).collect();
        let ends = begins.iter().skip(1).copied().chain([code.len()]);
        let functions = begins.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect();
        (name.clone(), Linked { code, functions })
    };
    object.programs.iter().map(of_program).collect()
}

impl Linked {
    /// Bytes of the stack that a function uses.
    fn frame(&self, function: usize) -> usize {
        let mut copies = [false; 16];
        let mut deepest = 1;
        let mut reaches = |offset: i32| deepest = deepest.max(offset.min(0).unsigned_abs() as usize);
        for one in &self.code[self.functions[function].clone()] {
            let to = usize::from(one.to);
            match one.class() {
                class::LDX if one.from == FRAME_POINTER => reaches(one.offset.into()),
                class::ST | class::STX if one.to == FRAME_POINTER => reaches(one.offset.into()),
                class::ALU64 if one.is_move() && one.takes_register() && one.from == FRAME_POINTER => {
                    copies[to] = true;
                    continue;
                }
                class::ALU64 if copies[to] && !one.takes_register() => reaches(one.immediate),
                _ => {}
            }
            if !matches!(one.class(), class::ST | class::STX | class::JMP | class::JMP32) {
                copies[to] = false;
            }
        }
        deepest.next_multiple_of(FRAME_BYTES)
    }

    /// The functions that a function calls, or has a helper call.
    fn called(&self, function: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for index in self.functions[function].clone() {
            let one = self.code[index];
            let begin = match one.flow(index) {
                Some(Flow::Call(begin)) => Some(begin),
                _ => one.function_taken(index),
            };
            found
                .extend(begin.map(|begin| self.functions.iter().position(|one| one.start == begin).unwrap()));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn goes_on_elsewhere(&self, function: usize) -> bool {
        self.functions[function].clone().any(|index| {
            let one = self.code[index];
            one.flow(index) == Some(Flow::Helper) && one.immediate == TAIL_CALL
        })
    }

    /// The deepest stack and the most frames from a function on, with `below` on the stack under it.
    fn deepest(&self, function: usize, below: usize, frames: usize) -> (usize, usize) {
        assert!(frames < 2 * FRAMES, "functions call each other in a circle");
        assert!(
            below < BELOW_TAIL_CALL_BYTES || !self.goes_on_elsewhere(function),
            "{below} bytes below a tail call"
        );
        let here = (below + self.frame(function), frames + 1);
        let calls = self.called(function).into_iter();
        calls.fold(here, |(depth, most), one| {
            let (found, frames) = self.deepest(one, here.0, here.1);
            (depth.max(found), most.max(frames))
        })
    }
}

#[test]
fn every_way_through_a_program_fits_on_the_stack() {
    let mut programs = 0;
    for (object, bytes) in super::super::OBJECTS {
        for (name, linked) in linked(bytes) {
            let (depth, frames) = linked.deepest(0, 0, 0);
            println!("{object} {name}: {depth} bytes, {frames} frames");
            assert!(depth <= STACK_BYTES, "{name} of {object} can need {depth} bytes of {STACK_BYTES}");
            assert!(frames <= FRAMES, "{name} of {object} can need {frames} frames of {FRAMES}");
            programs += 1;
        }
    }
    assert!(programs > 15, "{programs}");
}

#[test]
fn frames_are_measured() {
    let op = |code, to, from, offset, immediate| Instruction { code, to, from, offset, immediate };
    let exit = op(0x95, 0, 0, 0, 0);
    // A store at -40, and a pointer to -72 for the function that is called, whose own frame is as small as frames are.
    let code = vec![
        op(0x7b, 10, 1, -40, 0),
        op(0xbf, 2, 10, 0, 0),
        op(0x07, 2, 0, 0, -72),
        op(0x85, 0, 1, 0, 1),
        exit,
        op(0xb7, 0, 0, 0, 0),
        exit,
    ];
    let linked = Linked { code, functions: vec![0..5, 5..7] };
    assert_eq!(linked.called(0), [1]);
    assert_eq!(linked.deepest(0, 0, 0), (96 + 32, 2));
}
