#!/bin/sh
# Buys one thing and pays for it by M-Pesa, step by step, with nothing but sh, curl and sed.
#
#   examples/first_payment.sh
#   BASE_URL=https://shop.example PHONE=0712345678 examples/first_payment.sh
#
# On a shop with the simulator no money moves. Elsewhere the phone really rings, so it must be named.
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:5000}
BASE_URL=${BASE_URL%/}
TOKEN=

fail() {
    echo "first_payment: $*" >&2
    exit 1
}

# call METHOD PATH EXPECTED_STATUS [JSON]: leaves the answer in ANSWER, or ends the script.
call() {
    set -- "$1" "$2" "$3" "${4:-}"
    ANSWER=$(
        curl -sS --max-time 40 -X "$1" "$BASE_URL$2" \
            -H 'Accept: application/json' \
            ${TOKEN:+-H "Authorization: Bearer $TOKEN"} \
            ${4:+-H 'Content-Type: application/json' --data "$4"} \
            -w '\n%{http_code}'
    ) || fail "no answer from $BASE_URL. Is the shop open (make run)?"
    STATUS=${ANSWER##*
}
    ANSWER=${ANSWER%
*}
    [ "$STATUS" = "$3" ] || fail "$1 $2 was answered $STATUS instead of $3: $ANSWER"
}

# first NAME: the first value of that name in the answer, without quotes.
first() {
    printf '%s\n' "$ANSWER" | tr ',{' '\n\n' \
        | sed -n 's/^ *"'"$1"'" *: *"\{0,1\}\([^"}]*\).*/\1/p' | sed -n 1p
}

random() {
    od -An -N "$1" -t u1 /dev/urandom | tr -d ' \n'
}

case $BASE_URL in
    http://127.0.0.1:* | http://localhost:* | http://127.0.0.1 | http://localhost) ;;
    *) [ -n "${PHONE:-}" ] || fail 'say which phone is to pay: PHONE=0712345678' ;;
esac
# A number of nobody in particular; those that end in 99 and two more digits pay in the simulator.
digits=$(random 4)0000000
PHONE=${PHONE:-07$(printf '%.4s' "$digits")99$(printf '%.2s' "$(random 2)0")}

name="buyer$(random 4)"
password="first-payment-$(random 8)"

echo "1. A new customer: $name, with the phone $PHONE"
call POST /api/register 201 \
    "{\"username\": \"$name\", \"email\": \"$name@shop.example\", \"password\": \"$password\", \"phone_number\": \"$PHONE\"}"

echo '2. Signing in'
call POST /api/login 200 "{\"username\": \"$name\", \"password\": \"$password\"}"
TOKEN=$(first access_token)
[ -n "$TOKEN" ] || fail "there is no access token in the answer: $ANSWER"

echo '3. What is for sale?'
call GET '/api/products?in_stock=true&sort=price&limit=1' 200
product=$(first id)
[ -n "$product" ] || fail 'nothing is for sale. A demo shop comes with: python manage.py seed --demo'
echo "   $(first name), KES $(first price)"

echo '4. Ordering one of it; the stock is held'
call POST /api/orders 201 "{\"products\": [{\"product_id\": $product, \"quantity\": 1}]}"
order=$(first id)
echo "   order $(first number), KES $(first total_price), $(first status)"

echo '5. Asking the phone to pay'
call POST /api/mpesa/stkpush 202 "{\"order_id\": $order}"
transaction=$(first id)
echo "   transaction $transaction is $(first status)"

echo '6. Waiting for the PIN'
tries=0
while :; do
    call GET "/api/transactions/$transaction?wait=20" 200
    status=$(first status)
    case $status in
        succeeded) break ;;
        created | pending | unknown) ;;
        *) fail "the payment ended as $status: $(first customer_message)" ;;
    esac
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || fail "the payment is still $status"
    sleep 1
done
echo "   paid: receipt $(first mpesa_receipt)"

call GET "/api/orders/$order" 200
[ "$(first status)" = paid ] || fail "the order is $(first status), not paid: $ANSWER"
echo "7. Order $(first number) is paid."
