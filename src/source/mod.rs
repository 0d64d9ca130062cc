//! What comes in: base images, agent bundles, packages; and the content-addressed cache.
