//! How people are notified, and how that ends.

use super::label::label;

label! {
    /// Where people are notified.
    pub enum NotificationTarget {
        /// On their desktop (`notify.desktop`).
        Desktop => "desktop",
        /// By a request to a program of theirs (`notify.webhook`).
        Webhook => "webhook",
    }
}

label! {
    /// How a notification ended.
    pub enum NotificationResult {
        /// Too many others waited to be sent.
        ///
        /// What to do: see why they wait (`failed`); the page has the last changes.
        Dropped => "dropped",
        /// It could not be sent, or not before it was old.
        ///
        /// What to do: see the log for the reason: nobody listens at `notify.webhook`, or there is no
        /// `notify-send`, or no desktop of the user who runs Gravimeter.
        Failed => "failed",
        /// It was taken.
        Sent => "sent",
    }
}
