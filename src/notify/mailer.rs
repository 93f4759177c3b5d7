//! Sending mail through a relay (SMTP, RFC 5321; STARTTLS, RFC 3207; implicit TLS, RFC 8314).

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Mail;
use crate::config::control::{Mail as Settings, MailTls};
use crate::redact::{Secret, keep};
use crate::{Error, Result, atomic_file};

/// How many mails wait at most.
const WAITING: usize = 1000;
/// How many are sent at once.
const AT_ONCE: usize = 8;
/// How often one is tried, and how long is waited between two tries.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(2);

type Relay = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mail beside the requests that ask for it. Mails that wait are lost with the process: none of them is more than an
/// invitation to ask again.
pub struct Mailer(mpsc::Sender<Mail>);

/// The sending, which ends when the [`Mailer`] is dropped and all is sent.
pub struct Sending(JoinHandle<()>);

impl Mailer {
    /// A mailer through the relay that the settings name; none where they name none.
    ///
    /// # Errors
    /// Fails where the settings make no sense together.
    pub fn start(settings: &Settings) -> Result<Option<(Self, Sending)>> {
        let Some(host) = &settings.host else { return Ok(None) };
        let from = settings.from.as_deref().ok_or_else(|| {
            Error::input("mail.host is set, and mail.from is not")
                .hint("say whose mail it is: from = \"Stead <stead@example.com>\"")
        })?;
        let from: Mailbox = from
            .parse()
            .map_err(|error| Error::input(format!("mail.from: {from:?} is no mail address")).because(error))?;
        let relay = relay(host, settings)?;
        let (queue, mut waiting) = mpsc::channel(WAITING);
        let work = async move {
            let (relay, from) = (&relay, &from);
            let mails = futures::stream::poll_fn(|context| waiting.poll_recv(context));
            mails.for_each_concurrent(AT_ONCE, async |mail| send(relay, from, &mail).await).await;
        };
        Ok(Some((Self(queue), Sending(tokio::spawn(work)))))
    }

    /// Puts a mail into the queue.
    ///
    /// # Errors
    /// Fails where very many wait already.
    pub fn send(&self, mail: Mail) -> Result<()> {
        let full = || Error::failed("too many mails wait already").hint("see whether the mail relay answers");
        if !mail.is_urgent && self.0.capacity() < WAITING / 2 {
            return Err(full());
        }
        self.0.try_send(mail).map_err(|_| full())
    }
}

impl Sending {
    /// Waits until all is sent, for at most `patience`.
    pub async fn finish(self, patience: Duration) {
        let mut work = self.0;
        if tokio::time::timeout(patience, &mut work).await.is_err() {
            work.abort();
            tracing::warn!("mails that waited were not sent");
        }
    }
}

fn relay(host: &str, settings: &Settings) -> Result<Relay> {
    let failed = |error: lettre::transport::smtp::Error| Error::input(format!("the mail relay {host}")).because(error);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if settings.tls == MailTls::None && !is_here {
        return Err(Error::input(format!("mail.tls is \"none\", and the relay {host} is not on this machine"))
            .hint("links to sign in would cross the network in the clear: take starttls or implicit"));
    }
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(file) = &settings.ca_file {
        let missing = || Error::input(format!("mail.ca_file: there is no file {file}"));
        let pem = atomic_file::read(file)?.ok_or_else(missing)?;
        tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(failed)?);
    }
    let (tls, port) = match settings.tls {
        MailTls::None => (Tls::None, 25),
        MailTls::Starttls => (Tls::Required(tls.build().map_err(failed)?), 587),
        MailTls::Implicit => (Tls::Wrapper(tls.build().map_err(failed)?), 465),
    };
    let mut builder = Relay::builder_dangerous(host).tls(tls).port(settings.port.unwrap_or(port));
    builder = builder.timeout(Some(Duration::from_secs(20)));
    match (&settings.user, &settings.password_file) {
        (Some(user), Some(file)) => {
            let missing = || Error::input(format!("mail.password_file: there is no file {file}"));
            let password = atomic_file::read(file)?.ok_or_else(missing)?;
            let password = String::from_utf8_lossy(&password).trim_end().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
            // The sender has its own copy from here on.
            keep(Secret::new(password.into_bytes()));
        }
        (None, None) => {}
        _ => return Err(Error::input("mail.user and mail.password_file go together")),
    }
    Ok(builder.build())
}

async fn send(relay: &Relay, from: &Mailbox, mail: &Mail) {
    let outcome = match deliver(relay, from, mail).await {
        Ok(()) => "sent",
        Err(error) => {
            // To whom is a person's affair, and what it says lets people in: the log has neither.
            tracing::error!(error = error.one_line(), subject = mail.subject, "a mail was not sent");
            "failed"
        }
    };
    metrics::counter!("stead_mails_total", "outcome" => outcome).increment(1);
}

async fn deliver(relay: &Relay, from: &Mailbox, mail: &Mail) -> Result<()> {
    let to =
        mail.to.parse().map_err(|error: lettre::address::AddressError| Error::failed("the address").because(error))?;
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&mail.subject)
        .header(ContentType::TEXT_PLAIN)
        // No out-of-office answers (RFC 3834, section 5).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()))
        .body(mail.text.to_string())
        .map_err(|error| Error::failed("writing the mail").because(error))?;
    let mut wait = FIRST_WAIT;
    for tried in 1.. {
        match relay.send(message.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if tried == TRIES || error.is_permanent() => {
                // Its own words name whom the mail is to.
                let code = error.status().map_or_else(|| "no answer".into(), |code| code.to_string());
                return Err(Error::failed(format!("the relay does not take it ({code})")));
            }
            Err(error) => {
                let code = error.status().map(|code| code.to_string());
                tracing::warn!(code, tried, "the mail relay does not take a mail now; trying again");
                tokio::time::sleep(wait).await;
                wait *= 3;
            }
        }
    }
    Ok(())
}
