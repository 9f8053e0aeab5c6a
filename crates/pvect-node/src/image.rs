//! Raw ext4 images: made, loop-mounted, grown.
