//! Fetching from the web for whoever submitted a job: to addresses that the whole world could fetch
//! from, unless the operator allows those of the site's own network.
//!
//! Invariant: no job makes this agent talk to the machine it runs on, to the cloud's metadata
//! service or to the site's network, by name, by number or by a redirect, unless the operator said
//! so. Must not know where the bytes go.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode, Url, header};

use crate::link::describe;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the first byte of an answer may take: some stores fetch from tape before it.
const FIRST_BYTE_WITHIN: Duration = Duration::from_mins(2);
/// How long nothing may come of an answer, counted from the request's beginning on: a part of 16 MiB goes up in
/// that time at a quarter of a megabit a second. Without it a store that takes a request and never answers
/// would hold an attempt for as long as its lease is renewed.
const SILENT_WITHIN: Duration = Duration::from_mins(10);
/// Where a proxy is named, in the way of the HTTP library.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// Redirects in a row: download sites need two or three.
const REDIRECTS_MAX: usize = 5;

/// May jobs name addresses of the site's own network?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Public addresses only.
    Public,
    /// Private ones too: the site's own object store, for one.
    Private,
}

/// Is it an address that anybody on the internet could reach?
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let own = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
            !(own || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || a == 0)
        }
        IpAddr::V6(ip) => {
            if let Some(inner) = ip.to_ipv4_mapped() {
                return is_public(inner.into());
            }
            let own = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            !(own || ip.is_unspecified() || ip.is_multicast() || translates(ip))
        }
    }
}

/// Addresses that a gateway turns into ones of IPv4 (RFC 6052, RFC 3056): which, is not looked at.
fn translates(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x64, 0xff9b, ..] | [0x2002, ..])
}

fn refused(host: &str) -> String {
    format!(
        "{host} is an address of this site's own network, which its agent does not reach for jobs \
         (its operator may allow it: --private-data)"
    )
}

/// Names resolve to public addresses, or not at all.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err(refused(&host).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// A host that is written as a number does not go through names.
fn check_number(url: &Url) -> Result<(), String> {
    let ip: Option<IpAddr> = match url.host() {
        Some(url::Host::Ipv4(ip)) => Some(ip.into()),
        Some(url::Host::Ipv6(ip)) => Some(ip.into()),
        Some(url::Host::Domain(_)) | None => None,
    };
    match ip {
        Some(ip) if !is_public(ip) => Err(refused(&ip.to_string())),
        Some(_) | None => Ok(()),
    }
}

/// The way to the web.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    client: Client,
    reach: Reach,
    /// Does the environment name a proxy that requests go through?
    proxied: bool,
}

/// What an address answered.
pub(crate) enum Answered {
    /// It is what it was.
    Unchanged,
    /// Its bytes, from `from` on.
    Bytes {
        /// The answer.
        response: Response,
        /// Where its bytes begin.
        from: u64,
        /// What the server calls this content, where it says so firmly.
        etag: Option<String>,
    },
}

/// A change so many seconds ago is the last one of its second, also where clocks differ a little.
const SETTLED_S: i64 = 60;

/// Why it did not.
#[derive(Debug)]
pub(crate) enum WebFault {
    /// Another try may help.
    Again(String),
    /// It will not.
    Never(String),
}

impl Web {
    pub(crate) fn new(reach: Reach) -> Result<Self, String> {
        let redirects = reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error("too many redirects");
            }
            let plain = attempt.url().scheme() == "http";
            let from = attempt.previous().last().map(Url::scheme);
            if plain && from == Some("https") {
                return attempt.error("a redirect from https to http");
            }
            match (reach, check_number(attempt.url())) {
                (Reach::Public, Err(why)) => attempt.error(why),
                (Reach::Public | Reach::Private, _) => attempt.follow(),
            }
        });
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_WITHIN)
            .redirect(redirects)
            .user_agent(concat!("dayan/", env!("CARGO_PKG_VERSION")));
        if reach == Reach::Public {
            builder = builder.dns_resolver(Arc::new(PublicOnly)).no_proxy();
        }
        let client = builder.build().map_err(|error| describe(&error))?;
        let proxied = reach == Reach::Private
            && PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
        Ok(Self { client, reach, proxied })
    }

    /// Are others reached through a proxy of the site's?
    pub(super) const fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// The client itself, for libraries that speak HTTP.
    #[cfg(feature = "s3")]
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// May this address be talked to? Names are looked at when they are resolved.
    pub(crate) fn check(&self, address: &str) -> Result<Url, String> {
        let url = Url::parse(address).map_err(|error| format!("`{address}`: {error}"))?;
        match self.reach {
            Reach::Public => check_number(&url).map(|()| url),
            Reach::Private => Ok(url),
        }
    }

    /// Asks for an address, from a byte on where the content is still `tag`. A tag is an `ETag`, or the
    /// time of the last change. Who answers with other bytes than it was asked for is asked once more, for
    /// all of them.
    pub(crate) async fn get(
        &self,
        address: &str,
        bearer: Option<&str>,
        from: u64,
        tag: Option<&str>,
        known: Option<&str>,
    ) -> Result<Answered, WebFault> {
        match self.ask(address, bearer, from, tag, known).await {
            Err(Unanswered::OtherBytes(said)) if from > 0 => {
                tracing::info!(address, ?said, from, "other bytes came than were asked for");
                let all = self.ask(address, bearer, 0, None, None).await;
                all.map_err(Unanswered::fault)
            }
            answered => answered.map_err(Unanswered::fault),
        }
    }

    async fn ask(
        &self,
        address: &str,
        bearer: Option<&str>,
        from: u64,
        tag: Option<&str>,
        known: Option<&str>,
    ) -> Result<Answered, Unanswered> {
        let never = |why| Unanswered::Fault(WebFault::Never(why));
        let again = |why| Unanswered::Fault(WebFault::Again(why));
        let url = self.check(address).map_err(never)?;
        let mut request = self.client.get(url);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let (Some(tag), true) = (tag, from > 0) {
            request = request
                .header(header::RANGE, format!("bytes={from}-"))
                .header(header::IF_RANGE, tag);
        } else if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        let sent = tokio::time::timeout(FIRST_BYTE_WITHIN, request.send()).await;
        let sent = sent.map_err(|_| again("no answer in time".to_owned()))?;
        let response = sent.map_err(|error| {
            let why = describe(&error);
            // What is not allowed is not allowed the next time either.
            let firm = why.contains("own network") || error.is_redirect() || error.is_builder();
            if firm { never(why) } else { again(why) }
        })?;
        let status = response.status();
        let etag = validator(response.headers());
        match status {
            StatusCode::NOT_MODIFIED => Ok(Answered::Unchanged),
            StatusCode::PARTIAL_CONTENT => match Part::of(&response) {
                Some(part) if part.is_rest_from(from) => {
                    Ok(Answered::Bytes { response, from, etag })
                }
                part => Err(Unanswered::OtherBytes(part)),
            },
            StatusCode::OK => Ok(Answered::Bytes { response, from: 0, etag }),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(again(status.to_string()))
            }
            status if status.is_server_error() || status.is_success() => {
                Err(again(status.to_string()))
            }
            status => Err(never(status.to_string())),
        }
    }
}

/// What tells this content from another firmly: the `ETag`, unless it is a weak one, else the time of the
/// last change, where that is long enough ago to be no second change's as well (RFC 9110, 8.8.2.2).
fn validator(headers: &HeaderMap) -> Option<String> {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tag) = said(header::ETAG).filter(|tag| tag.starts_with('"')) {
        return Some(tag.to_owned());
    }
    let moment = |text| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second());
    let changed = said(header::LAST_MODIFIED)?;
    let age = moment(said(header::DATE)?)? - moment(changed)?;
    (age >= SETTLED_S).then(|| changed.to_owned())
}

/// Why there are no bytes.
enum Unanswered {
    Fault(WebFault),
    /// Bytes came, and not those that were asked for: which, where that is said.
    OtherBytes(Option<Part>),
}

impl Unanswered {
    fn fault(self) -> WebFault {
        match self {
            Self::Fault(fault) => fault,
            Self::OtherBytes(Some(part)) => WebFault::Again(format!("other bytes came: {part:?}")),
            Self::OtherBytes(None) => {
                WebFault::Again("a part came, and not which one it is".to_owned())
            }
        }
    }
}

/// Which bytes a partial answer says that it has (RFC 9110, 14.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    first: u64,
    last: u64,
    /// How many there are in all, where that is said.
    all: Option<u64>,
}

impl Part {
    pub(super) fn of(response: &Response) -> Option<Self> {
        Self::read(response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?)
    }

    fn read(said: &str) -> Option<Self> {
        let (range, all) = said.strip_prefix("bytes ")?.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let all = if all == "*" { None } else { Some(all.parse().ok()?) };
        let part = Self { first: first.parse().ok()?, last: last.parse().ok()?, all };
        let possible = part.first <= part.last && all.is_none_or(|all| part.last < all);
        possible.then_some(part)
    }

    /// Is it everything from there on? Where it is not said how much there is, nobody knows.
    pub(super) fn is_rest_from(&self, from: u64) -> bool {
        self.first == from && self.all == self.last.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn which_bytes_a_partial_answer_has_is_believed_only_where_it_can_be() {
        let check = |said: &str, from: u64, expect: bool| {
            let rest = Part::read(said).is_some_and(|part| part.is_rest_from(from));
            assert_eq!(rest, expect, "{said} from {from}");
        };
        check("bytes 5-9/10", 5, true);
        check("bytes 0-9/10", 0, true);
        check("bytes 3-9/10", 5, false);
        check("bytes 5-7/10", 5, false);
        check("bytes 5-9/*", 5, false);
        check("bytes 5-10/10", 5, false);
        check("bytes 9-5/10", 9, false);
        check("bytes */10", 5, false);
        check("items 5-9/10", 5, false);
        check(&format!("bytes 5-{0}/{0}", u64::MAX), 5, false);
    }

    /// Serves ten bytes, and answers a question for a part as `lies` says. How often it was asked is told.
    async fn liar(lies: &'static str) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/x", listener.local_addr().expect("it has one"));
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = Vec::new();
                let mut byte = [0];
                while !asked.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).await.is_ok_and(|n| n > 0)
                {
                    asked.push(byte[0]);
                }
                let asked = String::from_utf8_lossy(&asked).to_lowercase();
                let range = asked.lines().find(|line| line.starts_with("range:"));
                let answer = match range {
                    Some(_) => lies.to_owned(),
                    None => {
                        "200 OK\r\netag: \"a\"\r\ncontent-length: 10\r\n\r\n0123456789".to_owned()
                    }
                };
                let _ = tell.send(range.unwrap_or_default().to_owned());
                let answer =
                    format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1));
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, told)
    }

    #[tokio::test]
    async fn other_bytes_than_were_asked_for_are_not_taken() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let web = Web::new(Reach::Private).expect("made");
        let check = async |lies: &'static str, expect: (u64, &str), asked: &[&str]| {
            let (address, mut told) = liar(lies).await;
            let got = web.get(&address, None, 5, Some("\"a\""), None).await;
            let Ok(Answered::Bytes { response, from, .. }) = got else { panic!("{lies}") };
            let bytes = response.text().await.expect("all of it");
            assert_eq!((from, bytes.as_str()), expect, "{lies}");
            for line in asked {
                assert_eq!(told.recv().await.as_deref(), Some(*line), "{lies}");
            }
            assert!(told.try_recv().is_err(), "{lies}: asked more often");
        };
        let part = "range: bytes=5-";
        let honest =
            "206 Partial Content\r\ncontent-range: bytes 5-9/10\r\ncontent-length: 5\r\n\r\n56789";
        check(honest, (5, "56789"), &[part]).await;
        let all = (0, "0123456789");
        let elsewhere = "206 Partial Content\r\ncontent-range: bytes 3-9/10\r\ncontent-length: 7\r\n\r\n3456789";
        check(elsewhere, all, &[part, ""]).await;
        let not_to_the_end =
            "206 Partial Content\r\ncontent-range: bytes 5-7/10\r\ncontent-length: 3\r\n\r\n567";
        check(not_to_the_end, all, &[part, ""]).await;
        let unsaid = "206 Partial Content\r\ncontent-length: 5\r\n\r\n56789";
        check(unsaid, all, &[part, ""]).await;
    }

    #[test]
    fn only_what_the_world_can_reach_is_public() {
        let check = |ip: &str, expect: bool| {
            assert_eq!(is_public(ip.parse().expect(ip)), expect, "{ip}");
        };
        for own in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"] {
            check(own, false);
            check(&format!("::ffff:{own}"), false);
        }
        for own in ["0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::"] {
            check(own, false);
        }
        for own in ["fc00::1", "fe80::1", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            check(own, false);
        }
        for public in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111"] {
            check(public, true);
        }
    }

    #[test]
    fn numbers_in_addresses_are_seen_however_they_are_written() {
        let web = || {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            Web::new(Reach::Public).expect("made")
        };
        for own in ["http://127.1/x", "http://0x7f000001/", "http://[::1]/", "http://2130706433/"] {
            assert!(web().check(own).is_err(), "{own}");
        }
        assert!(web().check("https://example.org/x").is_ok());
    }

    #[test]
    fn what_tells_one_content_from_another() {
        let check = |said: &[(header::HeaderName, &str)], expect: Option<&str>| {
            let value = |text: &str| text.parse().expect("a value");
            let headers = said.iter().map(|(name, text)| (name.clone(), value(text))).collect();
            assert_eq!(validator(&headers).as_deref(), expect, "{said:?}");
        };
        let date = (header::DATE, "Sun, 29 Nov 2026 10:00:00 GMT");
        let old = "Sat, 28 Nov 2026 10:00:00 GMT";
        let (changed, fresh) = (
            (header::LAST_MODIFIED, old),
            (header::LAST_MODIFIED, "Sun, 29 Nov 2026 09:59:30 GMT"),
        );
        check(&[(header::ETAG, "\"a\""), date.clone(), changed.clone()], Some("\"a\""));
        check(&[(header::ETAG, "W/\"a\""), date.clone(), changed.clone()], Some(old));
        check(&[date.clone(), fresh], None);
        check(&[changed], None);
        check(&[date, (header::LAST_MODIFIED, "yesterday")], None);
    }
}
