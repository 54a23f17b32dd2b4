SELECT epoch_ns(quantile_disc(start_time, $share)) FROM store.spans;
