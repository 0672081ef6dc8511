//! Which clients are let in: every authority and every revocation list, opened before anything is
//! served.
//!
//! Owns the way from the configuration to [`ClientAuth`], and whose it is in words. A file that is
//! missing or bad is an error here, where a bad certificate is only a warning: without it a site
//! would be open to everybody or to nobody. Refuses to know how the files are read, and when again.
//! Read next: `world`.

use std::sync::Arc;

use portunus_certs::client_auth::{ClientAuth, ClientAuthOptions, TrustReport};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

use crate::config::{Config, Listener, Sites};

use super::RunError;

/// Where each client authentication of `config` lies, in its order.
pub fn options(config: &Config) -> Vec<ClientAuthOptions> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let options = config.client_auths.iter().map(|auth| ClientAuthOptions {
        demand: auth.demand,
        ca: auth.ca.clone(),
        crls: auth.crls.clone(),
        crl_depth: auth.crl_depth,
        bounds: config.limits.client_chain,
        provider: Arc::clone(&provider),
    });
    options.collect()
}

/// Opens the client authentication of `config` with this index.
pub(super) fn open_one(
    config: &Config,
    index: usize,
    options: ClientAuthOptions,
    now: UnixTime,
) -> Result<(ClientAuth, TrustReport), RunError> {
    ClientAuth::open(options, now).map_err(|cause| RunError::ClientAuth {
        owner: owner(config, index),
        cause: Box::new(cause),
    })
}

/// Opens each client authentication of `config`, in its order.
pub fn open(
    config: &Config,
    now: UnixTime,
) -> impl Iterator<Item = Result<(ClientAuth, TrustReport), RunError>> {
    let options = options(config).into_iter().enumerate();
    options.map(move |(index, options)| open_one(config, index, options, now))
}

/// Who asks for the client authentication with this index; the first, if there are several.
fn owner(config: &Config, index: usize) -> String {
    let mut owners = config.listeners.iter().filter_map(|listener| of_listener(listener, index));
    owners.next().unwrap_or_default()
}

fn of_listener(listener: &Listener, index: usize) -> Option<String> {
    let name = &listener.name;
    match &listener.sites {
        Sites::Any(_) => {
            (listener.client_auth == Some(index)).then(|| format!("listener `{name}`"))
        }
        Sites::Named(sites) => {
            let site = sites.iter().find(|site| site.client_auth == Some(index))?;
            Some(match site.hosts.first() {
                Some(host) => format!("listener `{name}`, site `{host}`"),
                None => format!("listener `{name}`"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_file_that_is_missing_is_named_together_with_whose_it_is() {
        let text = "[listener.web]\nlisten = ['[::]:1']\n\
                    [[listener.web.site]]\nhosts = ['a.example']\nbackend = 'b'\n\
                    [[listener.web.site]]\nhosts = ['b.example']\nbackend = 'b'\n\
                    client_auth.ca = 'nowhere.pem'\n\
                    [listener.mail]\nlisten = ['[::]:2']\nbackend = 'b'\nmode = 'tcp'\n\
                    client_auth.ca = 'elsewhere.pem'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        let config = Config::parse(text, "config.toml", Path::new("/nowhere")).unwrap();
        let errors: Vec<RunError> =
            open(&config, UnixTime::now()).filter_map(Result::err).collect();
        // Listeners come in the order of the file, and so does what they ask for.
        let owners: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            owners,
            [
                "listener `web`, site `b.example`: its clients cannot be authenticated",
                "listener `mail`: its clients cannot be authenticated",
            ]
        );
        for (error, file) in errors.iter().zip(["/nowhere/nowhere.pem", "/nowhere/elsewhere.pem"]) {
            assert!(error.source().unwrap().to_string().contains(file), "{error:?}");
            assert!(error.hint().unwrap().contains("client_auth.ca"));
        }
    }
}
