//! What ships for those who run containers: the image itself, in `anatomy` as files and in `life` as
//! processes.

mod anatomy;
mod life;
