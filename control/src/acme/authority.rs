//! Which authority, and under which account? The account is made when it is first needed, and kept (RFC 8555 §7.3).

use super::client::Http;
use super::domain::Trouble;
use super::words;
use crate::clock::now;
use crate::config;
use crate::db::Db;
use crate::db::domains::account_secret;
use crate::db::leases::Term;
use api::domains::DomainErrorKind;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

const FILE_MAX_BYTES: u64 = 1_048_576;

/// Why control can't use an authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file can't be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The roots are none.
    #[error("`{}` must have certificates in PEM", path.display())]
    Roots {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The key is none.
    #[error("the key in `{}` must be in base64url", .0.display())]
    Key(PathBuf),
    /// There is no HTTP client.
    #[error("there is no HTTP client")]
    Client(#[from] reqwest::Error),
    /// There is no resolver.
    #[error("the DNS servers of this machine are not known; --dns-server names others")]
    Dns(#[from] hickory_resolver::net::NetError),
}

/// An authority.
pub(crate) struct Authority {
    directory: String,
    contact: Vec<String>,
    external: Option<(String, Vec<u8>)>,
    http: Http,
    /// One account is made at a time.
    making: Mutex<()>,
}

/// A conversation with an authority.
pub(crate) struct Conversation {
    pub(crate) account: Account,
    http: Http,
}

impl Conversation {
    /// The trouble that an error is, for the domain of `host`.
    pub(crate) fn trouble(&self, host: &str, error: &Error) -> Trouble {
        words::trouble(host, error, self.http.said())
    }
}

impl Authority {
    /// The one that control is set up with.
    pub(crate) fn new(config: &config::Acme) -> Result<Option<Self>, AuthorityError> {
        let Some(directory) = &config.directory else { return Ok(None) };
        let http = match &config.ca_file {
            Some(path) => Http::new(Some(&read(path)?))
                .map_err(|source| AuthorityError::Roots { path: path.clone(), source })?,
            None => Http::new(None)?,
        };
        let external = match (&config.eab_kid, &config.eab_key_file) {
            (Some(kid), Some(path)) => Some((kid.clone(), external_key(path)?)),
            _ => None,
        };
        let contact = config.contact.iter().map(|email| format!("mailto:{email}")).collect();
        let directory = directory.to_string();
        Ok(Some(Self { directory, contact, external, http, making: Mutex::new(()) }))
    }

    /// Begins a conversation under the account, which is made where there is none.
    pub(crate) async fn converse(&self, db: &Db, term: Term) -> Result<Conversation, Trouble> {
        let _making = self.making.lock().await;
        let http = self.http.anew();
        let owner = account_secret(&self.directory);
        let account = match db.secret(&owner).await? {
            Some(kept) => self.restore(&kept, &http).await?,
            None => self.make(db, term, &http).await?,
        };
        let conversation = Conversation { account, http };
        self.tell_contact(db, term, &conversation).await?;
        Ok(conversation)
    }

    async fn restore(&self, kept: &[u8], http: &Http) -> Result<Account, Trouble> {
        let credentials: AccountCredentials =
            serde_json::from_slice(kept).map_err(|_| internal("the account kept is no account"))?;
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let account = builder.from_credentials(credentials).await;
        account.map_err(|error| words::trouble("", &error, http.said()))
    }

    async fn make(&self, db: &Db, term: Term, http: &Http) -> Result<Account, Trouble> {
        let external =
            self.external.as_ref().map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let made = builder.create(&new, self.directory.clone(), external.as_ref()).await;
        let (account, credentials) =
            made.map_err(|error| words::trouble("", &error, http.said()))?;
        let kept = serde_json::to_vec(&credentials);
        let kept = zeroize::Zeroizing::new(kept.map_err(|_| internal("the account is no JSON"))?);
        self.keep(db, term, Some(&kept)).await?;
        tracing::info!(directory = self.directory, account = account.id(), "made an ACME account");
        Ok(account)
    }

    /// Tells the authority where it may write to, where that is something else than it was told.
    async fn tell_contact(
        &self,
        db: &Db,
        term: Term,
        conversation: &Conversation,
    ) -> Result<(), Trouble> {
        if db
            .acme_contact(&self.directory)
            .await?
            .is_some_and(|told| told == self.contact.join(","))
        {
            return Ok(());
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let told = conversation.account.update_contacts(&contact).await;
        told.map_err(|error| conversation.trouble("", &error))?;
        self.keep(db, term, None).await
    }

    async fn keep(&self, db: &Db, term: Term, kept: Option<&[u8]>) -> Result<(), Trouble> {
        let mut change = db.change().await?;
        if !change.holds(term).await? {
            return Err(internal("another replica has taken over"));
        }
        change.put_acme_account(&self.directory, &self.contact.join(","), kept, now()).await?;
        Ok(change.commit().await?)
    }

    /// Forgets the account where the authority doesn't know it; the next conversation makes another.
    pub(crate) async fn forget_account(&self, db: &Db, term: Term) -> sqlx::Result<()> {
        let _making = self.making.lock().await;
        let mut change = db.change().await?;
        if change.holds(term).await? {
            change.remove_secret(&account_secret(&self.directory)).await?;
            change.commit().await?;
            tracing::warn!(directory = self.directory, "the authority forgot the account");
        }
        Ok(())
    }
}

fn internal(detail: &str) -> Trouble {
    Trouble::new(DomainErrorKind::Internal, detail).passing()
}

fn external_key(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let text = read(path)?;
    let digits =
        text.trim_ascii().iter().copied().filter(|byte| *byte != b'=').collect::<Vec<u8>>();
    let key = URL_SAFE_NO_PAD.decode(digits).ok().filter(|key| !key.is_empty());
    key.ok_or_else(|| AuthorityError::Key(path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    use std::io::Read as _;
    let failed = |source| AuthorityError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
