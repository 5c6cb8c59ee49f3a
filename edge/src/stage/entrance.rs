//! May a request that came in like this be for this site?
//!
//! A connection does for a site where a handshake for its hosts would have gone by the same rules. So no client gets
//! around a certificate that it has to show, or a version of TLS that it has to speak, by naming one host in the handshake and
//! another in its request; over HTTP/2 and HTTP/3 it is told to come again on a connection of its own (RFC 9110 §15.5.20).

use crate::listen::Connection;
use crate::tls::Secure;
use route::Site;

/// How a request came in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entrance<'c> {
    /// From a client, without TLS.
    Open,
    /// From a client, over TLS.
    Secure(&'c Secure),
    /// It is this installation's own: of this edge, or of another that has asked the client.
    Inside,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Granted,
    /// The client has to come over TLS.
    Upgrade,
    /// The client has to come by another handshake.
    Misdirected,
}

impl<'c> Entrance<'c> {
    /// That of a client's connection.
    pub(crate) fn of(connection: &'c Connection) -> Self {
        connection.secure.as_ref().map_or(Self::Open, Self::Secure)
    }

    pub(crate) fn access(self, site: &Site) -> Access {
        match self {
            Self::Open if site.tls.redirects_http => Access::Upgrade,
            Self::Secure(secure) if !secure.does_for(site) => Access::Misdirected,
            Self::Open | Self::Secure(_) | Self::Inside => Access::Granted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use api::site::tls::{ClientAuth, TlsVersion};
    use serde_json::json;
    use std::sync::{Arc, LazyLock};

    fn secure(version: &'static str, client_auth: Option<ClientAuth>) -> Secure {
        Secure {
            version,
            cipher: "",
            resumed: false,
            client_auth: client_auth.map(Arc::new),
            client_certificate: None,
            alternative: None,
        }
    }

    fn asking(ca: &str, optional: bool) -> ClientAuth {
        static ROOTS: LazyLock<[String; 2]> = LazyLock::new(|| {
            ["a", "b"].map(|name| {
                let issued = rcgen::generate_simple_self_signed([name.to_owned()]);
                issued.unwrap().cert.pem()
            })
        });
        ClientAuth { ca: ROOTS[usize::from(ca == "b")].clone(), optional }
    }

    #[test]
    fn a_connection_does_for_sites_with_the_rules_of_its_handshake() {
        let check = |tls: serde_json::Value, secure: Option<Secure>, expected: Access| {
            let site = testing::site(&json!({ "tls": tls }));
            let entrance = secure.as_ref().map_or(Entrance::Open, Entrance::Secure);
            assert_eq!(entrance.access(&site), expected, "{tls} {secure:?}");
            assert_eq!(Entrance::Inside.access(&site), Access::Granted);
        };
        let asks = |ca, optional| json!({ "client_auth": asking(ca, optional) });
        let asked = |ca, optional| Some(secure("TLSv1.3", Some(asking(ca, optional))));
        check(json!({}), None, Access::Granted);
        check(json!({}), Some(secure("TLSv1.2", None)), Access::Granted);
        check(json!({ "redirect_http": true }), None, Access::Upgrade);
        check(json!({ "redirect_http": true }), Some(secure("TLSv1.2", None)), Access::Granted);
        let newest = json!({ "minimum_version": TlsVersion::V1_3 });
        check(newest.clone(), Some(secure("TLSv1.2", None)), Access::Misdirected);
        check(newest.clone(), Some(secure("TLSv1.3", None)), Access::Granted);
        check(newest, None, Access::Granted);
        check(asks("a", false), asked("a", false), Access::Granted);
        check(asks("a", false), asked("a", true), Access::Misdirected);
        check(asks("a", true), asked("a", false), Access::Misdirected);
        check(asks("a", false), asked("b", false), Access::Misdirected);
        check(asks("a", false), Some(secure("TLSv1.3", None)), Access::Misdirected);
        check(json!({}), asked("a", false), Access::Misdirected);
        // who has to show a certificate can't do so without TLS; who may needn't
        check(asks("a", false), None, Access::Upgrade);
        check(asks("a", true), None, Access::Granted);
    }
}
