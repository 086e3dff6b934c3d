//! Tells people how repot's work went: mail, webhooks, chat services, dead-man pings.
//!
//! A crate of its own because it is the other place, beside the storages, that speaks to the network for somebody's
//! account: what leaves the machine here can be read in a few files. It uses no other crate of repot's, reads no
//! environment (it is handed a map) and prints nothing.
//!
//! Invariants: an alert that cannot be sent is a value ([`NotSent`]), never a failure of what it tells about; every
//! channel has a time limit; secrets come from variables or files, and what is sent is cleaned of those that are
//! known ([`Redactor`]).

mod alert;
mod chain;
mod channel;
mod config;
mod http;
mod mail;
mod redact;
mod request;
mod send;
mod template;
mod words;

pub use alert::{Alert, Event, Failure};
pub use channel::Channel;
pub use config::{AlertsConfig, ChannelConfig, ChannelKind, Security, Surroundings, When};
pub use redact::Redactor;
pub use send::{Limits, NotSent, send_all, send_to};
