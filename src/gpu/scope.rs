//! Errors of wgpu, caught where they arise, and the state of the device.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};

#[cfg(not(target_arch = "wasm32"))]
type Verdict = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_arch = "wasm32")]
type Verdict = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// Whether a device still lives, and the verdicts that a browser has yet to give.
#[derive(Default)]
pub(crate) struct Health {
    lost: Arc<Mutex<Option<String>>>,
    deferred: Mutex<Vec<(String, Verdict)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Health {
    /// Marks the device as lost. The first reason stays.
    pub fn set_lost(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    /// Has wgpu tell when the device is lost: for devices of our own only.
    pub fn watch(&self, device: &wgpu::Device) {
        let lost = self.lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            lock(&lost).get_or_insert_with(|| format!("{reason:?}: {message}"));
        });
    }

    pub fn is_lost(&self) -> bool {
        lock(&self.lost).is_some()
    }

    /// Refuses to go on with a lost device.
    pub fn check(&self) -> Result<()> {
        match &*lock(&self.lost) {
            None => Ok(()),
            Some(reason) => Err(Error::DeviceLost { reason: reason.clone() }),
        }
    }

    /// The error of a failed read-back or mapping: a lost device, where that is known.
    pub fn diagnose(&self, during: &str, error: &dyn std::fmt::Display) -> Error {
        match self.check() {
            Err(lost) => lost,
            Ok(()) => Error::Wgpu { during: during.into(), detail: error.to_string() },
        }
    }

    /// Runs calls of wgpu inside error scopes. The scopes are closed before anything is awaited, since they belong to the
    /// thread. Native backends know their verdict at once; a browser's is asked for again at the next read-back.
    pub fn guard<T>(&self, device: &wgpu::Device, during: &str, call: impl FnOnce() -> T) -> Result<T> {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let value = call();
        let verdicts: [Verdict; 3] = [Box::pin(internal.pop()), Box::pin(validation.pop()), Box::pin(memory.pop())];
        let mut outcome = Ok(value);
        for mut verdict in verdicts {
            match pin!(&mut verdict).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(error)) => outcome = Err(self.translate(during, &error)),
                Poll::Pending => lock(&self.deferred).push((during.to_owned(), verdict)),
            }
        }
        self.check()?;
        outcome
    }

    /// Awaits the verdicts that were not known at once. Of several errors the first counts: others follow from it.
    pub async fn settle(&self) -> Result<()> {
        let deferred = std::mem::take(&mut *lock(&self.deferred));
        let mut outcome = Ok(());
        for (during, verdict) in deferred {
            if let Some(error) = verdict.await {
                outcome = outcome.and(Err(self.translate(&during, &error)));
            }
        }
        outcome
    }

    fn translate(&self, during: &str, error: &wgpu::Error) -> Error {
        match error {
            wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { requested: 0, in_use: 0, cap: None },
            other => self.diagnose(during, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_errors_that_come_late_the_first_is_told() {
        let health = Health::default();
        let late = |description: &str| {
            let error = wgpu::Error::Validation { source: "".into(), description: description.into() };
            Box::pin(std::future::ready(Some(error)))
        };
        lock(&health.deferred).push(("kernel".into(), late("does not compile")));
        lock(&health.deferred).push(("submit".into(), late("an invalid pipeline")));
        let error = pollster::block_on(health.settle()).unwrap_err();
        assert!(matches!(&error, Error::Wgpu { during, .. } if during == "kernel"), "{error}");
        assert_eq!(pollster::block_on(health.settle()), Ok(()));
    }
}
