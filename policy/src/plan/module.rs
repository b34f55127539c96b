//! Functions of the kernel's modules: how hook points name them, and which program attaches there.
//!
//! A module comes and goes while policies are live. A hook point names one time that it is loaded, so that a module that is
//! loaded anew is another hook point; see ADR 0029.

use super::attach::{Site, Wants, handed};
use super::facts::{Signature, Symbols};
use super::fields::Reader;
use super::refusal::Problem;
use super::{Attach, EventKind, HookPoint};
use crate::model::{FieldPath, HookTarget};
use std::fmt;
use std::str::FromStr;

/// A function of a module.
///
/// As text, which is what hook points have: `MODULE:FUNCTION@LOAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSite {
    /// The module, by its name in `lsmod`.
    pub module: String,
    /// The function.
    pub function: String,
    /// Which time it is that the module is loaded: no two are the same until the machine boots. The number of the inode of its
    /// directory in `/sys/module`.
    pub load: u64,
}

/// What is known of a function of a module that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFunction {
    /// Where it is.
    pub site: ModuleSite,
    /// As the module's BTF tells it; `None` = it has none, or not of this function.
    pub signature: Option<Signature>,
}

impl fmt::Display for ModuleSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.module, self.function, self.load)
    }
}

/// The text is no function of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no function of a module: MODULE:FUNCTION@LOAD")]
pub struct NoModuleSite;

impl FromStr for ModuleSite {
    type Err = NoModuleSite;

    fn from_str(text: &str) -> Result<Self, NoModuleSite> {
        let (module, function, load) = parts(text).ok_or(NoModuleSite)?;
        Ok(Self { module: module.to_owned(), function: function.to_owned(), load })
    }
}

/// Module, function and load of a text `MODULE:FUNCTION@LOAD`.
fn parts(text: &str) -> Option<(&str, &str, u64)> {
    let (place, load) = text.split_once('@')?;
    let (module, function) = place.split_once(':')?;
    Some((module, function, load.parse().ok()?))
}

impl HookPoint {
    /// What the program attaches to, without the module that a function is of.
    pub fn function(&self) -> &str {
        parts(&self.symbol).map_or(&self.symbol, |(_, function, _)| function)
    }
}

/// Where a hook on a function of a module attaches. A breakpoint at its beginning leaves the module free to go; only its end takes a
/// program that holds the module.
pub(super) fn site(found: ModuleFunction, wants: &Wants) -> Result<Site, Problem> {
    let ModuleFunction { site, signature } = found;
    let (function, module) = (site.function.clone(), site.module.clone());
    let on = format!("on {function} of the module {module}: {}", wants.wish());
    let (attach, argument_count, reason) = if wants.on_return {
        let count = handed(&function, signature.as_ref(), &format!("the BTF of the module {module}"));
        let count = count.map_err(|why_not| {
            let allowed = format!("functions that fexit can attach to: {why_not}");
            Problem::new(format!("the return value of `{function}`"), allowed)
        })?;
        let reason = format!(
            "fexit {on}, and the return value is asked for; the module cannot be removed as long as this is attached"
        );
        (Attach::Fexit, count, reason)
    } else {
        (Attach::Kprobe, 0, format!("kprobe {on}, and the module stays free to be removed"))
    };
    Ok(Site {
        point: HookPoint { attach, symbol: site.to_string() },
        reason,
        flags: 0,
        argument_count,
        reader: Reader::Call { function: function.clone(), signature, positions: None, module: Some(module) },
        denies: false,
        function_name: function,
        event: EventKind::Kprobe,
        user: None,
        called: None,
    })
}

/// What the author of a hook will want to know of its place, and what comes of it: that a module is held there.
pub(super) fn held(site: &Site) -> Option<(String, &'static str)> {
    if site.point.attach != Attach::Fexit {
        return None;
    }
    let place: ModuleSite = site.point.symbol.parse().ok()?;
    let found = format!("the end of `{}`, a function of the module {}", place.function, place.module);
    Some((found, "the module cannot be removed as long as the policy is live"))
}

/// The functions that a target names, or that its pattern fits, and which module each is of. The kernel's own stay what they are,
/// and are not among them.
pub(super) fn functions(
    target: &HookTarget,
    sites: &Result<Vec<Site>, (Problem, Option<FieldPath>)>,
    symbols: &dyn Symbols,
) -> Vec<(String, Option<ModuleSite>)> {
    match (target, sites) {
        (HookTarget::Function(_) | HookTarget::Functions(_), Ok(sites)) => {
            let places = sites.iter().filter_map(|site| site.point.symbol.parse::<ModuleSite>().ok());
            places.map(|place| (place.function.clone(), Some(place))).collect()
        }
        (HookTarget::Function(name), Err((problem, _))) if symbols.function(name).is_none() => {
            // What is refused for another reason may be another function by the time that its module is loaded anew.
            let place = if problem.missing { None } else { symbols.module_site(name) };
            vec![(name.clone(), place)]
        }
        (
            HookTarget::Function(_)
            | HookTarget::Functions(_)
            | HookTarget::User { .. }
            | HookTarget::Syscalls
            | HookTarget::Syscall(_)
            | HookTarget::Syscall32(_)
            | HookTarget::Tracepoint { .. }
            | HookTarget::Lsm(_)
            | HookTarget::Mapping,
            _,
        ) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_a_module_is_a_text_and_back() {
        let site = ModuleSite { module: "bridge".into(), function: "br_add_if".into(), load: 4711 };
        assert_eq!(site.to_string(), "bridge:br_add_if@4711");
        assert_eq!(site.to_string().parse(), Ok(site.clone()));
        let point = |symbol: &str| HookPoint { attach: Attach::Kprobe, symbol: symbol.to_owned() };
        assert_eq!(point(&site.to_string()).function(), "br_add_if");
        assert_eq!(point(&site.to_string()).to_string(), "kprobe/bridge:br_add_if");
        for whole in ["fd_install", "sched/sched_switch", "/bin/a:0x10@fe00:12"] {
            assert_eq!(point(whole).function(), whole);
        }
        for text in ["fd_install", "sched/sched_switch", "bridge:br_add_if", "br_add_if@4711", "a:b@-1"] {
            assert_eq!(text.parse::<ModuleSite>(), Err(NoModuleSite), "{text}");
        }
    }
}
