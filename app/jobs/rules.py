"""The settings that services go by, in their own terms."""

from app.config import Config, MpesaEnv
from app.services.menu_payment import MenuNumber
from app.services.pictures import PictureRules
from app.services.place_order import OrderRules
from app.services.refunds import RefundRules
from app.services.request_payment import PaymentRules
from app.services.statements import Numbers
from app.utils.web_address import CallRules


def order_rules(config: Config) -> OrderRules:
    return OrderRules(
        expiry_seconds=config.order_expiry_seconds,
        max_open_orders=config.max_open_orders,
        max_amount_shillings=config.mpesa_max_amount_shillings,
    )


def payment_rules(config: Config) -> PaymentRules:
    return PaymentRules(
        max_amount_shillings=config.mpesa_max_amount_shillings,
        prompts_per_phone_10_minutes=config.prompts_per_phone_10_minutes,
        prompts_per_phone_day=config.prompts_per_phone_day,
        first_check_seconds=config.mpesa_query_schedule_seconds[0],
    )


def menu_number(config: Config) -> MenuNumber:
    return MenuNumber(
        number=config.mpesa_c2b_shortcode,
        is_till=config.customers_pay_to_till,
        max_amount_shillings=config.mpesa_max_amount_shillings,
    )


def refund_rules(config: Config) -> RefundRules:
    return RefundRules(
        approval_above_shillings=config.refund_approval_above_shillings,
        can_reverse=config.can_reverse,
        can_pay_out=config.can_pay_out,
        max_amount_shillings=config.mpesa_max_amount_shillings,
        first_check_seconds=config.mpesa_query_schedule_seconds[0],
        by_hand_check_seconds=config.mpesa_give_up_after_seconds,
    )


def picture_rules(config: Config) -> PictureRules:
    return PictureRules(per_day=config.pictures_per_day)


def call_rules(config: Config) -> CallRules:
    return CallRules(
        allow_http=config.mpesa_env is MpesaEnv.SIMULATOR,
        allow_private=config.webhooks_allow_private,
    )


def mpesa_numbers(config: Config) -> Numbers:
    return Numbers(paid=config.shortcodes, payout=config.mpesa_b2c_shortcode)
