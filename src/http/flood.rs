//! Floods: how many requests one address may have under way, and how many one
//! caller may send in a second. Whoever asks for more gets 429 and is told when
//! to come back, before anything is done for the request.
//!
//! Memory is bounded by those who asked in the last minute: who has been quiet
//! for that long is forgotten.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::{Bytes, Data},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use super::{Problem, State, state::identity};
use crate::{auth::Method, config::Limits};

/// How often those who have been quiet are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// Paths that tell whether the server is well are answered in any case.
const EXEMPT: [&str; 2] = ["/healthz", "/readyz"];

/// An IPv6 customer has 2^64 addresses or more: they count as one.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts requests by address and by caller.
pub struct Flood {
    under_way_max: usize,
    under_way: Mutex<HashMap<IpAddr, usize>>,
    rate: Option<DefaultKeyedRateLimiter<u64>>,
}

/// A request that is under way.
struct Counted {
    flood: Arc<Flood>,
    address: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut under_way = self.flood.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.address);
            }
        }
    }
}

impl Flood {
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let rate = NonZeroU32::new(limits.caller_requests_per_second_max).map(|per_second| {
            let burst = NonZeroU32::new(limits.caller_requests_burst_max).unwrap_or(per_second);
            RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst))
        });
        Self { under_way_max: limits.address_requests_max, under_way: Mutex::default(), rate }
    }

    /// One more request of an address, for as long as the answer is kept.
    fn begin(self: &Arc<Self>, address: IpAddr) -> Result<Option<Counted>, Problem> {
        if self.under_way_max == 0 {
            return Ok(None);
        }
        let address = whose(address);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(address).or_default();
        if *count >= self.under_way_max {
            let why = format!("{} requests of this address are under way", self.under_way_max);
            return Err(Problem::too_many(&why, 1));
        }
        *count += 1;
        Ok(Some(Counted { flood: Arc::clone(self), address }))
    }

    /// One more request of a caller.
    fn count(&self, caller: impl Hash) -> Result<(), Problem> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let mut key = DefaultHasher::new();
        caller.hash(&mut key);
        rate.check_key(&key.finish()).map_err(|not_until| {
            let wait = not_until.wait_time_from(governor::clock::DefaultClock::default().now());
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Problem::too_many("this caller asks more often than the server allows", seconds)
        })
    }
}

/// An answer that counts as under way until its last byte is out.
struct Counting {
    body: BoxBody,
    _counted: Option<Counted>,
}

impl MessageBody for Counting {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(task)
    }
}

/// Forgets who has been quiet, for as long as the server runs.
pub async fn forget_the_quiet(state: Data<State>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        if let Some(rate) = &state.flood.rate {
            rate.retain_recent();
            rate.shrink_to_fit();
        }
    }
}

/// Wraps every request, outside of what finds out who asks.
///
/// # Errors
/// Those of the services. Where too many requests of the address are under way
/// the answer is 429.
pub async fn limit_addresses(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let counted = match request.app_data::<Data<State>>() {
        Some(state) if !EXEMPT.contains(&request.path()) => match state.peer(request.request()) {
            Some(address) => match state.flood.begin(address) {
                Ok(counted) => counted,
                Err(problem) => return Ok(request.error_response(problem)),
            },
            None => None,
        },
        _ => None,
    };
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Counting { body: body.boxed(), _counted: counted }.boxed()))
}

/// Wraps every request, inside of what finds out who asks.
///
/// # Errors
/// Those of the services. Where the caller asks too often the answer is 429.
pub async fn limit_callers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Err(problem) = count_caller(&request) {
        return Ok(request.error_response(problem));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn count_caller(request: &ServiceRequest) -> Result<(), Problem> {
    let Some(state) = request.app_data::<Data<State>>() else { return Ok(()) };
    if EXEMPT.contains(&request.path()) {
        return Ok(());
    }
    let caller = identity(request.request());
    if matches!(caller.method, Method::Anonymous | Method::Off) {
        return count_stranger(state, state.peer(request.request()));
    }
    state.flood.count(&caller.subject)
}

/// One more request of somebody who has not said who they are, or not so that it
/// counts.
///
/// # Errors
/// When their address asks too often.
pub(super) fn count_stranger(state: &State, peer: Option<IpAddr>) -> Result<(), Problem> {
    state.flood.count(peer.map(whose))
}
