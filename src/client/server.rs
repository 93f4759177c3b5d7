//! A control API, and what one asks it with.

use std::time::Duration;

use camino::Utf8Path;
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem;
use crate::error::Context;
use crate::redact::Secret;
use crate::{Error, Kind, Result};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take. The server itself gives up sooner.
const ANSWER: Duration = Duration::from_secs(30);
/// How long putting a file there may take; the server gives up as soon.
const UPLOAD: Duration = Duration::from_secs(60 * 60);
/// How long a server may say nothing at all; to those who watch it says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// How often a request is sent that may be sent again.
const TRIES: u32 = 4;
/// The longest that a server may have a command wait before it asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How many things a page holds; the most that the server gives.
const PAGE: &str = "200";

/// What is put somewhere as it is.
pub enum Upload<'a> {
    /// Bytes in memory.
    Held(bytes::Bytes),
    /// A file, which may be larger than memory.
    File(&'a Utf8Path),
}

/// A control API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
    /// A certificate authority beside the public ones.
    ca: Option<reqwest::Certificate>,
}

/// A page of a list.
#[derive(serde::Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl Client {
    /// A server by its address, `https://stead.example.com`. `ca` is a certificate authority (PEM) beside the public ones.
    ///
    /// # Errors
    /// Fails where the address is no whole host's, where it is not encrypted and not on this machine, and where the authority
    /// cannot be read.
    pub fn new(address: &str, token: Option<&Secret>, ca: Option<&Utf8Path>) -> Result<Self> {
        let base = parse(address)?;
        let ca = match ca {
            Some(ca) => {
                let pem = fs_err::read(ca).context("reading the certificate authority")?;
                let certificate = reqwest::Certificate::from_pem(&pem);
                Some(
                    certificate
                        .map_err(|error| Error::input(format!("{ca} is no certificate in PEM")).because(error))?,
                )
            }
            None => None,
        };
        let http = build(&base, ca.as_ref(), Some(SILENCE))?;
        let token = token.map(|token| {
            let value = zeroize::Zeroizing::new([b"Bearer ", token.expose()].concat());
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| Error::input("the token is no token"))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        Ok(Self { http, base, token: token.transpose()?, ca })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// Fails where the server cannot be reached, or does not give it.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(self.send(self.request(Method::GET, path)?, true).await?).await
    }

    /// As [`get`](Self::get); none where there is nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let response = self.answer(self.request(Method::GET, path)?, true).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => self.read(self.told(response).await?).await.map(Some),
        }
    }

    /// All of a list, page by page, up to `most` things.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list<T: DeserializeOwned>(&self, path: &str, filter: &[(&str, &str)], most: usize) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut request = self.request(Method::GET, path)?.query(&[("limit", PAGE)]).query(filter);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: Page<T> = self.read(self.send(request, true).await?).await?;
            items.extend(page.items);
            if page.next.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
            cursor = page.next;
        }
    }

    /// Creates something: sent again where the answer was lost, under a key by which the server knows it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn create<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let key = Uuid::now_v7().to_string();
        let request = self.request(Method::POST, path)?.header("idempotency-key", key).json(body);
        self.read(self.send(request, true).await?).await
    }

    /// Does something that the server may be asked for once only: sent again only where it never arrived.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn act<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T> {
        self.read(self.send(self.request(method, path)?, false).await?).await
    }

    /// As [`act`](Self::act): puts something in its place.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.read(self.send(self.request(Method::PUT, path)?.json(body), false).await?).await
    }

    /// As [`act`](Self::act), where there is nothing to be told.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn end(&self, path: &str) -> Result<()> {
        self.send(self.request(Method::DELETE, path)?, false).await.map(drop)
    }

    /// As [`act`](Self::act); none where the server says that it is not there yet (202).
    pub(super) async fn poll<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Option<T>> {
        let response = self.send(self.request(Method::POST, path)?.json(body), false).await?;
        match response.status() {
            StatusCode::ACCEPTED => Ok(None),
            _ => self.read(response).await.map(Some),
        }
    }

    /// An answer that goes on for as long as the server has something to tell.
    pub(super) async fn stream(&self, path: &str) -> Result<Response> {
        // An answer that goes on for long is no answer that takes long.
        let request = self.request(Method::GET, path)?.timeout(Duration::from_secs(3600));
        self.send(request, true).await
    }

    /// Puts bytes in their place, however many they are. Again where that fails: they are the same bytes.
    ///
    /// # Errors
    /// As [`get`](Self::get), and where a file cannot be read.
    pub async fn upload(&self, path: &str, content: &Upload<'_>) -> Result<()> {
        // While it is told much, the server says nothing.
        let http = build(&self.base, self.ca.as_ref(), None)?;
        let mut attempt = 1;
        loop {
            let request = self.request_by(&http, Method::PUT, path)?.timeout(UPLOAD);
            let request = request.header(reqwest::header::CONTENT_TYPE, "application/octet-stream");
            let request = match content {
                Upload::Held(bytes) => request.body(bytes.clone()),
                Upload::File(file) => {
                    let opened = tokio::fs::File::open(file).await.with_context(|| format!("reading {file}"))?;
                    let length = opened.metadata().await?.len();
                    request.header(reqwest::header::CONTENT_LENGTH, length).body(opened)
                }
            };
            let is_last = attempt == TRIES;
            let pause = match request.send().await {
                Ok(response) if !is_last && is_busy(&response) => asked_to_wait(&response),
                Ok(response) => return self.told(response).await.map(drop),
                Err(_) if !is_last => None,
                Err(error) => return Err(self.unreachable(error, true)),
            };
            tokio::time::sleep(pause.unwrap_or_else(|| backoff(attempt)).min(LONGEST_WAIT)).await;
            attempt += 1;
        }
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        self.request_by(&self.http, method, path)
    }

    fn request_by(&self, http: &reqwest::Client, method: Method, path: &str) -> Result<RequestBuilder> {
        let url = self.base.join(path).map_err(|error| Error::failed(format!("the path {path}")).because(error))?;
        let request = http.request(method, url).timeout(ANSWER);
        Ok(match &self.token {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token),
            None => request,
        })
    }

    /// Sends a request; again, with pauses that grow, where that is safe: it never arrived, or it `may_repeat`.
    async fn send(&self, request: RequestBuilder, may_repeat: bool) -> Result<Response> {
        let response = self.answer(request, may_repeat).await?;
        self.told(response).await
    }

    async fn answer(&self, request: RequestBuilder, may_repeat: bool) -> Result<Response> {
        let mut attempt = 1;
        loop {
            let this = request.try_clone().ok_or_else(|| Error::failed("a request that cannot be sent again"))?;
            let is_last = attempt == TRIES;
            let pause = match this.send().await {
                Ok(response) if may_repeat && !is_last && is_busy(&response) => asked_to_wait(&response),
                Ok(response) => return Ok(response),
                Err(error) if !is_last && (may_repeat || error.is_connect()) => None,
                Err(error) => return Err(self.unreachable(error, may_repeat)),
            };
            tokio::time::sleep(pause.unwrap_or_else(|| backoff(attempt)).min(LONGEST_WAIT)).await;
            attempt += 1;
        }
    }

    fn unreachable(&self, error: reqwest::Error, may_repeat: bool) -> Error {
        let hint = if may_repeat || error.is_connect() {
            "is the server up, and is this its address?"
        } else {
            "whether the server has done it is not known: look before you ask again"
        };
        Error::new(Kind::Unreachable, format!("{} does not answer", self.address()))
            .because(error.without_url())
            .hint(hint)
    }

    /// The answer, or the error that it stands for.
    async fn told(&self, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = self.body(response).await?;
        Err(problem::error(status, &body, id.as_deref()))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::failed(format!("{} answers in a form that this program does not know", self.address()))
                .because(error)
                .hint("the server may be of another version: `stead --version` here, and there")
        })
    }

    async fn body(&self, response: Response) -> Result<bytes::Bytes> {
        let body = response.bytes().await;
        body.map_err(|error| {
            Error::new(Kind::Unreachable, format!("reading what {} answers", self.address()))
                .because(error.without_url())
        })
    }
}

/// What asks a server. `silence` is how long it may say nothing.
fn build(base: &Url, ca: Option<&reqwest::Certificate>, silence: Option<Duration>) -> Result<reqwest::Client> {
    // What is sent elsewhere is sent with a token: nobody may send us there.
    let mut http = reqwest::Client::builder()
        .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(silence) = silence {
        http = http.read_timeout(silence);
    }
    if base.scheme() == "http" {
        // This machine's own: a proxy would be told the token in the clear.
        http = http.no_proxy();
    }
    if let Some(ca) = ca {
        http = http.add_root_certificate(ca.clone());
    }
    http.build().map_err(|error| Error::failed("preparing to ask the server").because(error))
}

fn parse(address: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::input(format!("{address:?} {why}")).hint("write where the server is, as https://stead.example.com")
    };
    let url: Url = address.parse().map_err(|_| wrong("is no URL"))?;
    let Some(host) = url.host_str() else { return Err(wrong("is no URL of a host")) };
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(wrong("has more than scheme, host and port"));
    }
    let host = host.trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err(wrong("is not encrypted: anybody on the way could read the token")),
        _ => Err(wrong("is no URL of a server")),
    }
}

/// Whether the same request again may go through.
fn is_busy(response: &Response) -> bool {
    matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn asked_to_wait(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Half a second, one, two; between half of it and all, so that many who failed at once do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let full = Duration::from_millis(500) * (1 << (attempt - 1));
    let [_, .., random] = Uuid::now_v7().into_bytes();
    full.mul_f64(0.5 + f64::from(random) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for right in [
            "https://stead.example.com",
            "https://stead.example.com:8443/",
            "http://127.0.0.1:7380",
            "http://[::1]:1",
            "http://localhost:1",
        ] {
            assert_eq!(Client::new(right, None, None).unwrap().address(), right.trim_end_matches('/'));
        }
        for wrong in [
            "stead.example.com",
            "http://stead.example.com",
            "https://a/b",
            "https://u:p@a",
            "https://:p@a",
            "https://a/?q",
            "file:///etc",
            "",
        ] {
            assert_eq!(Client::new(wrong, None, None).unwrap_err().kind(), Kind::Input, "{wrong}");
        }
    }
}
