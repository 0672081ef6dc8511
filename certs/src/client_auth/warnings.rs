//! What should be looked at although it works, or works no longer.
//!
//! Owns the sentences about authorities and lists that end soon or have ended, and the moment at
//! which time alone will change them. Decides nothing: an authority that has expired still vouches
//! (RFC 5280 section 6.1.1 gives an anchor no dates, and rustls keeps to that), a list that has
//! expired still denies.

use std::path::Path;

use x509_parser::time::ASN1Time;

use super::authorities::Bundle;
use super::revocation::List;
use super::trust::Signer;

/// What is to be said at one moment.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    pub(super) lines: Vec<String>,
    /// Seconds since 1970.
    pub(super) next_change: Option<i64>,
    now: i64,
}

impl Warnings {
    /// Looks at everything that is in use at `now`, in seconds since 1970.
    pub(super) fn of(bundle: (&Path, &Bundle), lists: &[(&List, Signer)], now: i64) -> Self {
        let mut warnings = Self { now, ..Self::default() };
        warnings.bundle(bundle.0, bundle.1);
        for (index, (list, signer)) in lists.iter().enumerate() {
            warnings.list(list, *signer);
            let others = lists.iter().take(index);
            if others.into_iter().any(|(other, _)| list.rivals(other)) {
                let path = list.facts.path.display();
                let issuer = &list.facts.issuer;
                warnings.say(format!(
                    "{path}: there are several lists of {issuer}; only the newest counts"
                ));
            }
        }
        warnings
    }

    fn bundle(&mut self, path: &Path, bundle: &Bundle) {
        let path = path.display();
        if bundle.repeated > 0 {
            let count = bundle.repeated;
            self.say(format!("{path}: {count} of the certificates stand there more than once"));
        }
        for authority in &bundle.authorities {
            let facts = &authority.facts;
            let (subject, end) = (&facts.subject, facts.not_after);
            if self.before(facts.not_before) {
                let start = date(facts.not_before);
                self.say(format!("{path}: the authority {subject} is not valid before {start}"));
            }
            let soon = self.past(quarter(facts.not_before, end));
            // The end itself is still within (RFC 5280 section 4.1.2.5).
            if self.past(end.saturating_add(1)) {
                let end = date(end);
                self.say(format!(
                    "{path}: the authority {subject} has expired on {end}; it still vouches for \
                     clients until it is taken out"
                ));
            } else if soon {
                self.say(format!("{path}: the authority {subject} expires on {}", date(end)));
            }
        }
    }

    fn list(&mut self, list: &List, signer: Signer) {
        let facts = &list.facts;
        let (path, place, issuer) = (facts.path.display(), list.place, &facts.issuer);
        let end = list.next_update;
        match signer {
            Signer::Authority => {}
            Signer::Stranger => self.say(format!(
                "{path}: {place}no authority of the bundle is called {issuer}; the list counts \
                 only for clients of an intermediate of that name"
            )),
            Signer::Wrong => self.say(format!(
                "{path}: {place}the list does not bear the signature of the authority {issuer}; \
                 its clients are refused until a list comes that does"
            )),
        }
        if self.before(facts.this_update) {
            let start = date(facts.this_update);
            self.say(format!(
                "{path}: {place}the list of {issuer} was made in the future, on {start}; this \
                 clock or that of the issuer is wrong"
            ));
        }
        let soon = self.past(quarter(facts.this_update, end));
        if self.past(end) {
            let end = date(end);
            self.say(format!(
                "{path}: {place}the list of {issuer} has expired on {end}; every client that it \
                 is about is refused until the next one is installed"
            ));
        } else if soon {
            self.say(format!(
                "{path}: {place}the list of {issuer} expires on {}; from then on every client \
                 that it is about is refused",
                date(end)
            ));
        }
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Whether `moment` has come; if not, it is one at which there is something else to say.
    fn past(&mut self, moment: i64) -> bool {
        let past = self.now >= moment;
        if !past {
            self.next_change = Some(self.next_change.map_or(moment, |next| next.min(moment)));
        }
        past
    }

    fn before(&mut self, moment: i64) -> bool {
        !self.past(moment)
    }
}

/// The moment at which a quarter of a life is left.
fn quarter(start: i64, end: i64) -> i64 {
    end.saturating_sub(end.saturating_sub(start).max(0) / 4)
}

fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
