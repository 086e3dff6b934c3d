//! Uploads to WebDAV: one `PUT` whose body is sent as it comes. opendal would keep the whole file in memory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::backend::Upload;
use super::error::{Sort, sort_words};
use super::remote::Shared;
use super::{StorageConfig, StorageError, operator};

/// What a path may hold as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How long an upload that is given up may take to end.
const GIVING_UP: Duration = Duration::from_secs(30);

/// Begins uploads to one server.
pub(crate) struct Putter {
    client: reqwest::Client,
    config: StorageConfig,
    base: String,
    part_timeout: Duration,
}

impl Putter {
    pub(crate) fn new(config: &StorageConfig) -> Result<Self, StorageError> {
        let base = format!("{}/{}", operator::http_endpoint(config), config.path.trim_matches('/'));
        let part_timeout = config.limits()?.io_timeout;
        Ok(Putter { client: operator::http_client(config)?, config: config.clone(), base, part_timeout })
    }

    pub(crate) fn begin(
        &self,
        path: &str,
        what: String,
        shared: Arc<Shared>,
    ) -> Result<Box<dyn Upload>, StorageError> {
        let scheme_end = self.base.find("://").map_or(0, |i| i + 3);
        let (before, base) = self.base.split_at(scheme_end);
        let (host, dir) = base.split_once('/').unwrap_or((base, ""));
        let joined = if dir.is_empty() { path.to_owned() } else { format!("{dir}/{path}") };
        let url = format!("{before}{host}/{}", utf8_percent_encode(&joined, KEPT));
        // One part waits while one is sent.
        let (parts, mut queue) = mpsc::channel::<io::Result<Bytes>>(1);
        let body = reqwest::Body::wrap_stream(stream::poll_fn(move |cx| queue.poll_recv(cx)));
        let mut request = self.client.put(url).header("content-type", "application/octet-stream").body(body);
        if let Some(token) = self.config.secret("token") {
            request = request.bearer_auth(token);
        } else if let Some(user) = self.config.option("user") {
            request = request.basic_auth(user, self.config.secret("password"));
        }
        let answer = shared.runner.spawn(async move {
            let response = request.send().await.map_err(|e| (None, chain(&e.without_url())))?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let text = response.text().await.unwrap_or_default();
            Err((Some(status.as_u16()), format!("HTTP {status} {text}")))
        });
        Ok(Box::new(Put { parts: Some(parts), answer, what, shared, part_timeout: self.part_timeout }))
    }
}

/// An error with its causes.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    for _ in 0..8 {
        let Some(c) = cause else { break };
        text = format!("{text}: {c}");
        cause = c.source();
    }
    text
}

type Answer = Result<(), (Option<u16>, String)>;

struct Put {
    /// Ends the body when it is dropped.
    parts: Option<mpsc::Sender<io::Result<Bytes>>>,
    answer: Option<JoinHandle<Answer>>,
    what: String,
    shared: Arc<Shared>,
    part_timeout: Duration,
}

impl Put {
    /// Waits for the server's answer.
    fn answer(&mut self) -> Result<(), StorageError> {
        let refuse =
            |sort, why: &str| self.shared.refuser.refuse(sort, self.what.clone(), self.shared.shown(why));
        let Some(mut task) = self.answer.take() else {
            return Err(refuse(Sort::Other, "the upload has ended before"));
        };
        let limit = self.part_timeout;
        let ended = self.shared.runner.wait(async { tokio::time::timeout(limit, &mut task).await });
        match ended {
            Some(Ok(Ok(Ok(())))) => Ok(()),
            Some(Ok(Ok(Err((status, why))))) => {
                let sort = match status {
                    Some(401 | 403) => Sort::Denied,
                    Some(404 | 409) => Sort::NotFound,
                    Some(413 | 507) => Sort::Full,
                    Some(408 | 429 | 502..=504) => Sort::Unreachable,
                    Some(_) => Sort::Other,
                    None => sort_words(&why).unwrap_or(Sort::Unreachable),
                };
                Err(refuse(sort, &why))
            }
            Some(Ok(Err(e))) => Err(refuse(Sort::Other, &e.to_string())),
            Some(Err(_)) | None => {
                task.abort();
                Err(refuse(Sort::Unreachable, &format!("no answer in {} s", limit.as_secs())))
            }
        }
    }
}

impl Upload for Put {
    fn part(&mut self, part: Vec<u8>) -> Result<(), StorageError> {
        let limit = self.part_timeout;
        let Some(parts) = &self.parts else { return self.answer() };
        let sent =
            self.shared.runner.wait(async { tokio::time::timeout(limit, parts.send(Ok(part.into()))).await });
        match sent {
            Some(Ok(Ok(()))) => Ok(()),
            // The server answered before the end, or nothing moves.
            Some(Ok(Err(_))) => match self.answer() {
                Err(e) => Err(e),
                Ok(()) => Err(self.shared.refuser.refuse(
                    Sort::Other,
                    self.what.clone(),
                    "the server took only a part of it",
                )),
            },
            Some(Err(_)) | None => {
                let why = format!("nothing was sent for {} s", limit.as_secs());
                Err(self.shared.refuser.refuse(Sort::Unreachable, self.what.clone(), why))
            }
        }
    }

    fn finish(&mut self) -> Result<(), StorageError> {
        self.parts = None;
        self.answer()
    }

    /// Ends the body where it is and waits for the answer: a server that is cut off may make the file after it has been
    /// deleted.
    fn abort(&mut self) {
        self.parts = None;
        let Some(mut task) = self.answer.take() else { return };
        let limit = self.part_timeout.min(GIVING_UP);
        let ended = self.shared.runner.wait(async { tokio::time::timeout(limit, &mut task).await });
        if !matches!(ended, Some(Ok(_))) {
            task.abort();
        }
    }
}
