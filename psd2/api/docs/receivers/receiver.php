<?php
// A receiver in PHP, without any package. Take the raw body from
// file_get_contents('php://input'), before anything has parsed it.
declare(strict_types=1);

const WINDOW = 5 * 60; // seconds

// Returns the event, or throws and says why not. $headers have lower-case names.
function receive(array $headers, string $rawBody, string $secret, ?int $now = null): array
{
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    $signatures = $headers['webhook-signature'] ?? '';
    if ($id === '' || $timestamp === '' || $signatures === '') {
        throw new RuntimeException('header: this is no webhook');
    }
    if (!ctype_digit($timestamp) || abs(($now ?? time()) - (int) $timestamp) > WINDOW) {
        throw new RuntimeException('clock: too old, or a clock is wrong');
    }
    $key = base64_decode(substr($secret, strlen('whsec_')), true);
    $expected = base64_encode(hash_hmac('sha256', "$id.$timestamp.$rawBody", $key, true));
    foreach (explode(' ', $signatures) as $item) {
        [$version, $value] = explode(',', $item, 2) + [1 => ''];
        if ($version === 'v1' && hash_equals($expected, $value)) {
            $event = json_decode($rawBody, true, 64, JSON_THROW_ON_ERROR);
            if ($event['id'] !== $id) {
                throw new RuntimeException('body: another event than the headers say');
            }
            return $event; // handle each id once: remember it for longer than WINDOW
        }
    }
    throw new RuntimeException('signature: another secret, or another body');
}
