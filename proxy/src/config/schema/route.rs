//! `routes` of a listener or a site: some paths, and what happens to requests for them.
//!
//! Owns the keys. Read next: `backend`; what routes mean together is in `listeners`.

use std::marker::PhantomData;
use std::time::Duration;

use super::super::list::{Entry, Perhaps, Texts};
use super::super::mixed::TextMap;
use super::super::number::{Count, Size, Time};
use super::super::section::{Key, Properties, Reader, Section, Table, section};
use super::super::text::{Flag, Text, Written};
use super::super::value::{Kind, Located, Where};
use super::{DAY, MOMENT, MONTH};

section! {
    /// An entry of `routes`
    RouteSection {
        /// Compared byte by byte, without decoding: /api/ is everything below it.
        path: Option<Written> = Text.required();
        /// This path alone, and before every longer or shorter one.
        exact: bool = Flag.or(false);
        /// Where requests go: a backend; or redirect, or respond.
        backend: Option<Written> = Text.optional();
        /// Take the path of the route out of the request target.
        strip: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// Put this in the place of the path of the route.
        replace: Option<Written> = Text.optional();
        /// Send the client elsewhere.
        redirect: Option<Entry<RedirectSection>> = Perhaps(PhantomData);
        /// Answer with what stands here.
        respond: Option<Entry<RespondSection>> = Perhaps(PhantomData);
        /// Change fields of the request.
        request_headers: Option<Entry<FieldsSection>> = Perhaps(PhantomData);
        /// Change fields of the response.
        response_headers: Option<Entry<FieldsSection>> = Perhaps(PhantomData);
        /// The most bytes of a request body.
        max_body: Option<Located<u64>> = Where(Size(0, 1 << 50)).optional();
        /// Instead of limits.http.response_head_timeout.
        response_head_timeout: Option<Located<Duration>> = Where(Time(MOMENT, DAY)).optional();
        /// Instead of limits.http.response_body_timeout.
        response_body_timeout: Option<Located<Duration>> = Where(Time(MOMENT, MONTH)).optional();
        /// Instead of limits.http.request_body_timeout.
        request_body_timeout: Option<Located<Duration>> = Where(Time(MOMENT, DAY)).optional();
        /// Let trailer fields pass, in both directions; those of gRPC pass in any case, from all
        /// backends, and to those that may speak HTTP/2.
        trailers: Located<bool> = Where(Flag).or(Located { value: false, place: None });
    }
}

section! {
    /// `redirect` of a route
    RedirectSection {
        /// A URL or a path; {host}, {path} (path and query) and {rest} (what is behind the path of
        /// the route) stand for those of the request.
        to: Option<Written> = Text.required();
        /// 301, 302, 303, 307 or 308.
        status: Located<u16> = Where(Count(300, 399)).or(Located { value: 308, place: None });
    }
}

section! {
    /// `respond` of a route
    RespondSection {
        /// The status code.
        status: Located<u16> = Where(Count(200, 599)).or(Located { value: 200, place: None });
        /// The content.
        body: Written = Text.or(Written::default("body", ""));
        /// Its type.
        content_type: Written =
            Text.or(Written::default("content_type", "text/plain; charset=utf-8"));
    }
}

section! {
    /// `request_headers` or `response_headers` of a route: remove, then set, then add
    FieldsSection {
        /// Names of fields that do not pass.
        remove: Option<Vec<Written>> = Texts(256).optional();
        /// Fields that have this value and no other.
        set: Option<Vec<(String, Written)>> = TextMap(256).optional();
        /// Further fields, beside those of the same name.
        add: Option<Vec<(String, Written)>> = TextMap(256).optional();
    }
}
