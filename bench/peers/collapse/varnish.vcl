# Varnish as it comes: it collapses by itself, and takes its grace from stale-while-revalidate.
vcl 4.1;

backend origin {
    .host = "{{origin_host}}";
    .port = "{{origin_port}}";
}
