//! What ships for those who run containers: the image itself, in `anatomy` as files and in `life`
//! as processes; and in `manifests` what Compose and Kubernetes are told about it.

mod anatomy;
mod life;
mod manifests;
