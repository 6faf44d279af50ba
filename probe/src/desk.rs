//! Where a grant is taken in: checked, journalled, run, and accounted for.
//!
//! Owns the order of these steps. Never runs what did not pass every check, and never twice.
//! Invariant: "started" is on disk before the effect, the receipt before it is sent; a refusal is signed and named.

mod account;
mod judge;
mod orders;
mod work;

use legator_core::ids::TaskId;
use legator_core::level::Level;
use legator_core::time::Timestamp;
use legator_core::verbs::{self, Call, Secrets};
use legator_wire::frame::Up;
use legator_wire::grant::{self, Checked, Delivery, Grant, HostFacts};
use legator_wire::receipt::OUTPUT_BYTES_MAX;
use legator_wire::refusal::Refusal;
use legator_wire::secret::{TO_HOST, bound_to_task};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey};
use std::sync::Arc;

use crate::config::Settings;
use crate::identity::Identity;
use crate::journal::{Begun, Content, Known};
use crate::limits::Sender;
use crate::probe::{Probe, Reserved};
use legator_core::digest::Digest;

pub use judge::judge_unfinished;
pub use orders::{ack, cancel, claims_to_be_grant, limits, malformed};

/// A refusal, and a sentence for people.
struct No(Refusal, Option<String>);

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, None)
    }
}

/// A delivery with what belongs to it.
pub(crate) struct Case {
    pub(crate) probe: Arc<Probe>,
    pub(crate) identity: Identity,
    pub(crate) delivery: Delivery,
    pub(crate) task: TaskId,
    pub(crate) content: Content,
}

/// Takes in a grant. Returns when it is refused, answered, given back, or on disk as started; the work itself goes on behind.
pub async fn take(probe: &Arc<Probe>, delivery: Delivery) {
    let content = Content { plan: Digest::of(&delivery.plan), leaf: delivery.leaf.hash() };
    let (task, identity) = (delivery.leaf.task, probe.identity());
    let case = Case { probe: Arc::clone(probe), identity, delivery, task, content };
    let settings = match probe.source.now() {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(%error, "no task runs: the host's own settings cannot be trusted");
            return case.without_settings().await;
        }
    };
    case.take_limits(&settings);
    let checked = case.check(&settings);
    case.saw_authority(checked.is_ok()).await;
    match checked {
        Err(refusal) if !refusal.uses_id() => case.say_no(refusal.into()).await,
        other => case.answer_or_start(other.map_err(No::from), settings).await,
    }
}

impl Case {
    /// The host's own settings cannot be read: what is proven to be for this task is refused for good, nothing else is touched.
    async fn without_settings(self) {
        let settings = Settings { max_level: Level::Observe, ..Settings::without_file() };
        match self.check(&settings) {
            Err(refusal) if !refusal.uses_id() => self.say_no(refusal.into()).await,
            _ => {
                let said = "the host's own settings cannot be read".to_owned();
                self.answer_or_start(Err(No(Refusal::AboveMaxLevel, Some(said))), settings).await;
            }
        }
    }

    fn take_limits(&self, settings: &Settings) {
        if let Some(envelope) = &self.delivery.limits {
            let from = Sender { identity: &self.identity, settings, now: self.probe.clock.now() };
            let taken = self.probe.limits.take(envelope, &from, &self.delivery.approvals);
            tracing::debug!(?taken, "limits came with a grant");
        }
    }

    /// The check of the wire, with the host's facts as they are now.
    fn check(&self, settings: &Settings) -> Result<Checked, Refusal> {
        use legator_wire::keys::Signer as _;
        let limits = self.probe.limits.now();
        let host = HostFacts {
            installation: &self.identity.installation,
            authority: &self.identity.authority,
            host: self.identity.host,
            key: &self.probe.key.public(),
            now: self.probe.clock.now(),
            high_water: self.probe.journal.high_water(),
            skew: self.probe.skew(),
            limits: Some(&limits),
            max_level: settings.max_level,
            approvers: &settings.approvers,
            quorum: settings.quorum,
        };
        grant::check(&self.delivery, &host)
    }

    /// A grant that the authority signed states its time, also one that is refused for something else.
    async fn saw_authority(&self, passed: bool) {
        if passed {
            return; // It goes to disk with "started".
        }
        if let Ok(grant) = self.delivery.grant.open::<Grant>(&self.identity.authority) {
            self.probe.journal.raise(grant.made_at).await;
        }
    }

    /// What is known of the id decides first; only a new one is refused for its content, or begun.
    async fn answer_or_start(self, checked: Result<Checked, No>, settings: Settings) {
        let reserved = self.probe.reserve(self.task);
        match (self.probe.journal.known(self.task, &self.content), reserved) {
            (Known::Other, _) => {
                tracing::error!(task = %self.task, "an id came again with other content");
                self.say_no(Refusal::UsedBefore.into()).await;
            }
            (Known::Ended(sent), _) => {
                self.probe.say_waiting(Up::Receipt(sent)).await;
            }
            (Known::Settled(receipt), _) => {
                tracing::debug!(task = %self.task, %receipt, "acknowledged before")
            }
            (Known::Running, _) | (_, None) => self.say_started(),
            (Known::Cancelled, Some(reserved)) => self.cancelled_before(reserved).await,
            (Known::New, Some(reserved)) => match checked {
                Err(no) => self.refuse(no, reserved).await,
                Ok(checked) => self.start((checked, settings), reserved).await,
            },
        }
    }

    fn say_started(&self) {
        if let Ok(plan) = legator_core::plan::Plan::parse(self.delivery.plan.clone()) {
            self.probe.say(Up::Started { plan: plan.body().plan, task: self.task });
        }
    }

    /// From the check to "started" on disk.
    async fn start(self, (checked, settings): (Checked, Settings), reserved: Reserved) {
        let Ok(permit) = Arc::clone(&self.probe.active).try_acquire_owned() else {
            self.probe.say_waiting(Up::Busy { task: self.task }).await;
            return;
        };
        let call = match call(&checked) {
            Ok(call) => call,
            Err(no) => return self.refuse(no, reserved).await,
        };
        let secrets = match self.reveal(&checked, &call) {
            Ok(secrets) => secrets,
            Err(refusal) => return self.say_no(refusal.into()).await,
        };
        let cap = checked.plan.body().output_bytes_max.min(OUTPUT_BYTES_MAX) as usize;
        if !self.probe.journal.has_room(cap) {
            return self.refuse(Refusal::NoRoom.into(), reserved).await;
        }
        let begun = self.begun(&checked);
        if let Err(error) = self.probe.journal.begin(begun.clone()).await {
            tracing::error!(%error, "nothing is started that cannot be put on disk");
            return self.say_no(No(Refusal::NotKept, Some(error.to_string()))).await;
        }
        self.probe.say(Up::Started { plan: begun.plan, task: self.task });
        let job = work::Job { case: self, checked, call, secrets, settings, begun, cap };
        tokio::spawn(async move {
            job.run(reserved).await;
            drop(permit);
        });
    }

    /// The secret values that came beside the grant, which have to be those that the plan commits to.
    fn reveal(&self, checked: &Checked, call: &Call) -> Result<Secrets, Refusal> {
        if verbs::secrets(&call.verb).is_empty() {
            return Ok(Secrets::new());
        }
        let boxed = self.delivery.secrets.as_ref().ok_or(Refusal::SecretsMismatch)?;
        let key = HpkePrivateKey::from(self.probe.key.agreement().to_vec());
        let bound = bound_to_task(&checked.plan.digest(), self.task);
        let bytes = SUITE.open(&EncapsulatedSecret(boxed.enc.clone()), TO_HOST, &bound, &boxed.sealed, &key);
        let given = bytes.ok().and_then(|bytes| serde_json::from_slice::<Secrets>(&bytes).ok());
        given.filter(|given| call.verb.is_revealed_by(given)).ok_or(Refusal::SecretsMismatch)
    }

    fn begun(&self, checked: &Checked) -> Begun {
        let body = checked.plan.body();
        Begun {
            task: self.task,
            content: self.content,
            plan: body.plan,
            grant: checked.grant,
            verb: body.verb.clone(),
            expires_at: body.expires_at,
            at: self.probe.clock.now(),
            sealed_at: checked.made_at,
            quorum: checked.quorum.clone(),
        }
    }

    /// When time alone refuses this grant.
    fn expires_at(&self) -> Timestamp {
        legator_core::plan::Plan::parse(self.delivery.plan.clone())
            .map_or(Timestamp::MAX, |plan| plan.body().expires_at)
    }
}

/// The verb and its arguments, parsed again here: what does not parse does not run, and neither does what would touch more than was approved.
fn call(checked: &Checked) -> Result<Call, No> {
    let body = checked.plan.body();
    let parsed = verbs::parse(&body.verb, &body.args, Some(body.level));
    let mut call = parsed.map_err(|failure| match failure.code {
        "unknown-verb" => No(Refusal::UnknownVerb, Some(failure.detail)),
        _ => No(Refusal::BadArguments, Some(failure.detail)),
    })?;
    if call.effects != body.effects {
        return Err(No(
            Refusal::BadArguments,
            Some("the plan's effects are not those of its arguments".into()),
        ));
    }
    call.timeout = body.timeout.clamp(verbs::TIMEOUT_MIN, verbs::TIMEOUT_MAX);
    Ok(call)
}
