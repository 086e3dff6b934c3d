//! Named failpoints between steps, so that every failure can be had on demand. Compiled in with the feature
//! `failpoints` only; configured by the variable FAILPOINTS (`restore::after-apply=return(kill)`).

use crate::error::{Error, Result};

/// The places at every step where a crash must be survived.
pub const BOUNDARIES: [&str; 3] = ["before-intent", "after-apply", "after-record"];

/// Reaches the failpoint `step::place`.
#[cfg(feature = "failpoints")]
pub fn reach(step: &str, place: &str) -> Result<()> {
    let name = format!("{step}::{place}");
    fail::fail_point!(name.as_str(), |action| act(&name, action.as_deref().unwrap_or("error")));
    Ok(())
}

#[cfg(feature = "failpoints")]
fn act(name: &str, action: &str) -> Result<()> {
    match action {
        "kill" => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal may be delivered a moment later.
            std::thread::sleep(std::time::Duration::from_secs(30));
            Ok(())
        }
        // Stops as Ctrl-Z does: a test looks at what stands where, then lets it go on.
        "stop" => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            Ok(())
        }
        "interrupt" => {
            crate::interrupt::request();
            Ok(())
        }
        _ => Err(Error::failed("failpoint", format!("the failpoint {name} was set to fail"))),
    }
}

/// Reaches the failpoint `step::place`: nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
pub fn reach(_step: &str, _place: &str) -> Result<()> {
    let _: Option<Error> = None;
    Ok(())
}
